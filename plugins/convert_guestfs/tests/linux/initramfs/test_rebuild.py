# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's own tool builds an image again; its exit status alone is not trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine_file
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.initramfs.rebuild import make_anew, maker_for, missing_tool
from v2v_core.api import ConversionError, SourceDisk

Make = Callable[..., Any]
IMAGE = "/boot/initrd.img-6.1.0"
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")


@pytest.fixture
def guest(phony: Make) -> Any:
    """Return a guest whose image has a compression that this host cannot read."""
    made = phony({IMAGE: b"\x89LZO old", "/usr/sbin/update-initramfs": b"", "/usr/bin/dracut": b""}, distro="debian")
    tree = made.tree
    tree.checksum = lambda _kind, path: hashlib.sha256(tree.files[path]).hexdigest()
    tree.download = lambda path, target: Path(target).write_bytes(tree.files[path])
    tree.is_lv = lambda _device: False
    tree.statvfs = lambda _path: {"bfree": 0, "bsize": 4096}
    return made


def examined(kernel: Make, image: str = IMAGE) -> Examination:
    return Examination(replace(kernel("6.1.0"), modules_directory="/lib/modules/6.1.0", initramfs=image))


def tool(guest: Any, program: str, write: Callable[[str], None]) -> None:
    """Make a program of the guest do something with its output path."""

    def command(argv: list[str]) -> str:
        words = argv[2:]
        guest.tree.commands.append(words)
        assert words[0] == program
        write(next((word for word in words if word.startswith("/boot/")), IMAGE))
        return ""

    guest.tree.command = command


def test_a_tool_that_does_nothing_is_no_success(guest: Any, kernel: Make) -> None:
    del guest.tree.files["/usr/bin/dracut"]
    tool(guest, "/usr/sbin/update-initramfs", lambda _path: None)
    with pytest.raises(ConversionError, match=r"reported success, but made no initramfs for the kernel 6\.1\.0$"):
        make_anew(guest.session, guest.files, examined(kernel), NAMES)
    # As the guest is set up, and with MODULES=most.
    assert len(guest.tree.commands) == 2
    assert IMAGE not in guest.changed


def test_an_image_that_the_host_cannot_read_is_accepted_if_it_is_new(guest: Any, kernel: Make) -> None:
    del guest.tree.files["/usr/bin/dracut"]

    def write(path: str) -> None:
        guest.tree.files[path] = b"\x89LZO new"

    tool(guest, "/usr/sbin/update-initramfs", write)
    make_anew(guest.session, guest.files, examined(kernel), NAMES)
    assert IMAGE in guest.changed


def test_an_empty_file_of_dracuts_does_not_take_the_place(guest: Any, kernel: Make) -> None:
    del guest.tree.files["/usr/sbin/update-initramfs"]
    guest.tree.mktemp = lambda template: guest.tree.files.setdefault(template, b"") or template
    tool(guest, "/usr/bin/dracut", lambda _path: None)
    with pytest.raises(ConversionError, match="made no initramfs"):
        make_anew(guest.session, guest.files, examined(kernel), NAMES)
    assert guest.content(IMAGE) == b"\x89LZO old"
    assert [path for path in guest.tree.files if "v2v-XXXXXX" in path and path.startswith("/boot")] == []


@pytest.mark.parametrize("name", ["squash/root.img", "squash-root.img", "squashfs-root.img", "erofs-root.img"])
def test_an_image_in_an_image_is_made_anew_without_it(guest: Any, kernel: Make, tmp_path: Path, name: str) -> None:
    """dracutdevs/dracut#511, dracut-ng/dracut#150: the drivers of such an image are in a file system inside it."""
    files = {"init": b"squash/init.sh", name: b"hsqs", "usr/lib/modules/6.1.0/kernel/fs/overlayfs/overlay.ko": b"x"}
    data = b"".join(cpio.file_entry(path, text, number=i) for i, (path, text) in enumerate(files.items(), 1))
    path = tmp_path / "packed"
    path.write_bytes(data + cpio.trailer(len(data)))
    packed = examine_file(examined(kernel).kernel, path, NAMES, tmp_path)
    assert (packed.image, packed.kind, packed.boots, packed.extendable) == (None, Kind.DRACUT, False, False)
    assert name in packed.unreadable

    # On Debian, dracut is asked all the same: it made the image.
    guest.tree.mktemp = lambda template: guest.tree.files.setdefault(template, b"") or template
    tool(guest, "/usr/bin/dracut", lambda path: guest.tree.files.update({path: b"\x89LZO new"}))
    make_anew(guest.session, guest.files, packed, NAMES)
    assert guest.content(IMAGE) == b"\x89LZO new"
    (command,) = guest.tree.commands
    assert command[:2] == ["/usr/bin/dracut", "--force"]


def test_a_tool_that_knows_one_place_only_makes_nothing_elsewhere(guest: Any, kernel: Make) -> None:
    copy = "/boot/efi/machine/6.1.0/initrd.img"
    guest.tree.files[copy] = b""
    del guest.tree.files["/usr/bin/dracut"]
    assert maker_for(guest.session, guest.files, examined(kernel, copy)) is None
    assert maker_for(guest.session, guest.files, examined(kernel)) is not None
    guest.tree.files["/usr/bin/dracut"] = b""
    assert maker_for(guest.session, guest.files, examined(kernel, copy)) is not None


def test_the_hint_for_a_tool_that_is_not_known_names_the_drivers(phony: Make, kernel: Make) -> None:
    """Check that the hint names no package, since none is sure to exist in a distribution that is not known."""
    found = replace(examined(kernel), lacking=("virtio_pci", "virtio_blk"), kind=Kind.UNKNOWN)
    hint = missing_tool(phony({}, distro="gentoo").session, found)
    assert hint.startswith("make it with virtio_pci, virtio_blk in the guest on its source hypervisor")
    assert missing_tool(phony({}, distro="archlinux").session, found).startswith("install mkinitcpio ")
