# SPDX-License-Identifier: GPL-2.0-or-later
"""Images of all tools: which tool it was, old names of disks in them, links in the place of /lib, hard links."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.image import Image, read_image, write_image
from v2v_convert_guestfs.linux.initramfs.kinds import Kind, kind_of
from v2v_convert_guestfs.linux.initramfs.stale import moved_name, stale_files
from v2v_core.api import Bus, SourceDisk

NAMES = DeviceNames.of([SourceDisk(index=1), SourceDisk(index=2)], "vd")
LINK, DIRECTORY, SCRIPT = 0o120777, 0o040755, 0o100755
HOOKS = "usr/lib/dracut/hooks"
UNITS = "etc/systemd/system"
BY_PATH_UNIT = r"dev-disk-by\x2dpath-pci\x2d0000:03:00.0\x2dscsi\x2d0:0:0:0"
BY_PATH_HOOK = r"\x2fdev\x2fdisk\x2fby-path\x2fpci-0000:03:00.0-scsi-0:0:0:0"
#: As dracut 059 makes it with hostonly_cmdline=yes, on a machine whose root is /dev/sda2.
DRACUT: dict[str, tuple[bytes, int]] = {
    "lib": (b"usr/lib", LINK),
    "init": (b"usr/lib/systemd/systemd", LINK),
    "usr": (b"", DIRECTORY),
    "usr/lib": (b"", DIRECTORY),
    "usr/lib/dracut-lib.sh": (b"# functions\n", SCRIPT),
    "etc": (b"", DIRECTORY),
    "etc/cmdline.d/95root-dev.conf": (b" root=/dev/sda2 rootfstype=ext4 rd.luks.uuid=luks-1\n", 0o100644),
    "etc/fstab.sys": (b"/dev/sdb1 /sysroot/usr xfs defaults 0 0\n", 0o100644),
    "etc/crypttab": (b"secret /dev/sda3 none luks\n", 0o100600),
    "etc/block_uuid.map": (b"/dev/sda3 11-22\n", 0o100644),
    "etc/lvm/devices/system.devices": (b"IDTYPE=sys_wwid IDNAME=naa.6000c29 DEVNAME=/dev/sda3 PVID=x\n", 0o100600),
    f"{HOOKS}/initqueue/finished/devexists-\\x2fdev\\x2fsda2.sh": (b'[ -e "/dev/sda2" ]\n', SCRIPT),
    f"{HOOKS}/emergency/80-\\x2fdev\\x2fsda2.sh": (b'[ -e "/dev/sda2" ] || warn "/dev/sda2 is missing"\n', SCRIPT),
    f"{HOOKS}/emergency/50-plymouth-emergency.sh": (b"# mentions /dev/sda2\n", SCRIPT),
    f"{HOOKS}/initqueue/finished/devexists-{BY_PATH_HOOK}.sh": (b"[ -e x ]\n", SCRIPT),
    f"{HOOKS}/initqueue/finished/devexists-\\x2fdev\\x2fdisk\\x2fby-uuid\\x2f1-2.sh": (b"[ -e y ]\n", SCRIPT),
    f"{UNITS}/dev-sda2.device.d": (b"", DIRECTORY),
    f"{UNITS}/dev-sda2.device.d/timeout.conf": (b"[Unit]\nJobTimeoutSec=0\n", 0o100644),
    f"{UNITS}/initrd.target.wants/dev-sda2.device": (b"../dev-sda2.device", LINK),
    f"{UNITS}/initrd.target.wants/dev-mapper-vg\\x2droot.device": (b"../dev-mapper-vg\\x2droot.device", LINK),
    f"{UNITS}/initrd.target.wants/{BY_PATH_UNIT}.device": (f"../{BY_PATH_UNIT}.device".encode(), LINK),
}


def image_of(directory: Path, entries: dict[str, tuple[bytes, int]]) -> Image:
    data = b"".join(
        cpio.entry(name, content, number=number, mode=mode)
        for number, (name, (content, mode)) in enumerate(entries.items(), 1)
    )
    path = directory / "initramfs"
    path.write_bytes(data + cpio.trailer(len(data)))
    return read_image(path, directory)


def regular(**files: bytes) -> dict[str, tuple[bytes, int]]:
    return {name: (content, 0o100644) for name, content in files.items()}


@pytest.mark.parametrize(
    ("entries", "kind", "extendable"),
    [
        ({"init": b"", "conf/initramfs.conf": b"", "scripts/functions": b""}, Kind.INITRAMFS_TOOLS, True),
        ({"init": b"", "usr/lib/dracut-lib.sh": b""}, Kind.DRACUT, True),
        # version 004, of RHEL 6
        ({"init": b"#!/bin/sh\n", "lib/dracut-lib.sh": b"", "cmdline/01parse-kernel.sh": b""}, Kind.DRACUT, True),
        ({"init": b"#!/bin/nash\n\nmount -t proc /proc /proc\ninsmod /lib/sd_mod.ko\n"}, Kind.REDHAT_MKINITRD, False),
        ({"init": b"#!/bin/bash\n", "run_all.sh": b"", "boot/04-udev.sh": b""}, Kind.SUSE_MKINITRD, False),
        (
            {"init": b"#!/bin/sh\n", "bin/initrd-sh-functions": b"", "lib/initrd/rootdelay": b""},
            Kind.MAKE_INITRD,
            False,
        ),
        ({"init": b"#!/bin/sh\n# nash was here\n"}, Kind.UNKNOWN, False),
        ({"init": b"\x7fELF"}, Kind.UNKNOWN, False),
    ],
)
def test_the_tool_is_told_by_the_content(
    tmp_path: Path, entries: dict[str, bytes], kind: Kind, extendable: bool
) -> None:
    found = kind_of(image_of(tmp_path, regular(**entries)))
    assert (found, found.extendable) == (kind, extendable)


def test_old_names_in_an_image_of_dracut(tmp_path: Path) -> None:
    image = image_of(tmp_path, DRACUT)
    found = stale_files(image, NAMES)
    assert found.moved == {
        "etc/lvm/devices/system.devices": "",
        f"{HOOKS}/initqueue/finished/devexists-\\x2fdev\\x2fsda2.sh": (
            f"{HOOKS}/initqueue/finished/devexists-\\x2fdev\\x2fvda2.sh"
        ),
        f"{HOOKS}/emergency/80-\\x2fdev\\x2fsda2.sh": f"{HOOKS}/emergency/80-\\x2fdev\\x2fvda2.sh",
        f"{HOOKS}/initqueue/finished/devexists-{BY_PATH_HOOK}.sh": "",
        f"{UNITS}/dev-sda2.device.d": f"{UNITS}/dev-vda2.device.d",
        f"{UNITS}/dev-sda2.device.d/timeout.conf": f"{UNITS}/dev-vda2.device.d/timeout.conf",
        f"{UNITS}/initrd.target.wants/dev-sda2.device": f"{UNITS}/initrd.target.wants/dev-vda2.device",
        f"{UNITS}/initrd.target.wants/{BY_PATH_UNIT}.device": "",
    }
    (tmp_path / "two").mkdir()
    target = tmp_path / "two" / "new"
    write_image(image, target, found.contents, found.moved)
    new = read_image(target, tmp_path / "two")
    expected = {
        found.moved.get(name, name): (found.contents.get(name, content), mode)
        for name, (content, mode) in DRACUT.items()
        if found.moved.get(name, name)
    }
    assert {
        name: (new.content(name) or b"", entry.mode) for name, (_, entry) in new.entries().items() if name in expected
    } == expected
    assert not [name for name in new.entries() if "sda" in name or "by-path" in name or "system.devices" in name]
    assert new.content("etc/cmdline.d/95root-dev.conf") == b" root=/dev/vda2 rootfstype=ext4 rd.luks.uuid=luks-1\n"
    assert new.content("etc/fstab.sys") == b"/dev/vdb1 /sysroot/usr xfs defaults 0 0\n"
    assert new.content("etc/crypttab") == b"secret /dev/vda3 none luks\n"
    assert new.content("etc/block_uuid.map") == b"/dev/vda3 11-22\n"
    assert new.content(f"{UNITS}/initrd.target.wants/dev-vda2.device") == b"../dev-vda2.device"
    assert new.content(f"{HOOKS}/initqueue/finished/devexists-\\x2fdev\\x2fvda2.sh") == b'[ -e "/dev/vda2" ]\n'
    assert str(found).endswith(" more")
    # Once it is right it stays so.
    assert not stale_files(new, NAMES)


def test_the_old_cryptroot_of_initramfs_tools_is_no_crypttab(tmp_path: Path) -> None:
    image = image_of(tmp_path, regular(**{"conf/conf.d/cryptroot": b"target=root,source=/dev/sda5,key=none,rootdev\n"}))
    assert stale_files(image, NAMES).contents == {
        "conf/conf.d/cryptroot": b"target=root,source=/dev/vda5,key=none,rootdev\n"
    }


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("etc/lvm/lvm.conf", b'filter = [ "a|^/dev/sda2$|", "r|.*|" ]\n', b'filter = [ "a|^/dev/vda2$|", "r|.*|" ]\n'),
        ("etc/lvm/lvm.conf", b'global_filter = [ "a|sda.*|" ]\n', b'global_filter = [ "a|vda.*|" ]\n'),
        ("etc/lvm/lvmlocal.conf", b'devices/filter = "a|sda|"\n', b'devices/filter = "a|vda|"\n'),
        ("etc/mdadm/mdadm.conf", b"DEVICE /dev/sd[ab]2\n", b"DEVICE /dev/vd[ab]2\n"),
        ("etc/mdadm.conf", b"ARRAY /dev/md0 devices=/dev/sda1\n", b"ARRAY /dev/md0 devices=/dev/vda1\n"),
        ("etc/mdadm.conf.d/local.conf", b"DEVICE /dev/sda2\n", b"DEVICE /dev/vda2\n"),
        ("etc/uswsusp.conf", b"resume device = /dev/sda5\n", b"resume device = /dev/vda5\n"),
        ("usr/lib/systemd/system/data.mount", b"[Mount]\nWhat=/dev/sdb1\n", b"[Mount]\nWhat=/dev/vdb1\n"),
    ],
)
def test_old_names_in_copies_of_the_configuration(tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    assert stale_files(image_of(tmp_path, regular(**{name: old})), NAMES).contents == {name: new}
    assert not stale_files(image_of(tmp_path, regular(**{name: new})), NAMES)


def test_caches_of_old_names_go(tmp_path: Path) -> None:
    assert stale_files(image_of(tmp_path, regular(**{"etc/lvm/cache/.cache": b"x"})), NAMES).moved == {
        "etc/lvm/cache/.cache": ""
    }


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in block_devices.PLACES])
def test_whatever_is_edited_in_the_guest_is_edited_in_its_images(tmp_path: Path, pattern: str) -> None:
    texts = {
        "fstab": b"/dev/sda1 / ext4 defaults 0 0\n",
        "crypttab": b"x /dev/sda1 none luks\n",
        "lvm.conf": b'filter = [ "a|sda|" ]\n',
        "lvmlocal.conf": b'filter = [ "a|sda|" ]\n',
        "mdadm.conf": b"DEVICE /dev/sda1\n",
        "uswsusp.conf": b"resume device = /dev/sda1\n",
        "*.mount": b"What=/dev/sda1\n",
    }
    directory, _, last = pattern.rpartition("/")
    name = f"{directory}/{last.replace('*', 'x')}".lstrip("/").replace("etc/initramfs-tools", "conf")
    image = image_of(tmp_path, regular(**{name: texts.get(last, b"RESUME=/dev/sda1\n")}))
    assert b"vda" in stale_files(image, NAMES).contents[name]


@pytest.mark.parametrize(
    ("name", "new"),
    [
        (r"initqueue-finished/devexists-\x2fdev\x2fsda2.sh", r"initqueue-finished/devexists-\x2fdev\x2fvda2.sh"),
        (f"{UNITS}/dev-sdz9.device.d/timeout.conf", None),
        (f"{UNITS}/dev-sda.device.d/a/b", None),
        (f"{UNITS}/dev-disk-by\\x2duuid-1\\x2d2.device.d", None),
        (
            r"lib/dracut/hooks/emergency/80-\x2fdev\x2fcciss\x2fc0d0p1.sh",
            r"lib/dracut/hooks/emergency/80-\x2fdev\x2fvda1.sh",
        ),
        (f"{UNITS}/dev-cciss-c0d1p3.device.d", f"{UNITS}/dev-vdb3.device.d"),
        ("usr/share/dev-sda.device", None),
    ],
)
def test_names_of_files(name: str, new: str | None) -> None:
    assert moved_name(name, NAMES) == new


def test_nvme_disks_are_waited_for_by_their_new_names() -> None:
    names = DeviceNames.of([SourceDisk(index=1, bus=Bus.NVME)], "vd")
    assert moved_name(f"{UNITS}/dev-nvme0n1p2.device.d", names) == f"{UNITS}/dev-vda2.device.d"
    name = r"lib/dracut/hooks/emergency/80-\x2fdev\x2fnvme0n1p2.sh"
    assert moved_name(name, names) == r"lib/dracut/hooks/emergency/80-\x2fdev\x2fvda2.sh"


@given(st.text(alphabet=st.sampled_from("\\x2fdev-sa1./ebicwnt"), max_size=200))
def test_no_name_of_a_file_is_too_strange(text: str) -> None:
    for name in (text, f"{HOOKS}/emergency/80-{text}.sh", f"{UNITS}/{text}.device.d"):
        assert moved_name(name, DeviceNames({})) in {None, ""}
        moved_name(name, NAMES)
    moved_name(f"{HOOKS}/emergency/80-" + "\\x2fdev" * 700, NAMES)


def test_a_file_goes_behind_a_link_and_does_not_replace_it(tmp_path: Path) -> None:
    image = image_of(tmp_path, DRACUT)
    (tmp_path / "two").mkdir()
    target = tmp_path / "two" / "new"
    write_image(image, target, {"lib/modules/6.1/virtio_blk.ko": b"module", "lib/udev/rules.d/70-net.rules": b"rule"})
    new = read_image(target, tmp_path / "two")
    assert new.content("lib") == b"usr/lib"
    assert new.read("usr/lib/modules/6.1/virtio_blk.ko") == b"module"
    assert new.read("usr/lib/udev/rules.d/70-net.rules") == b"rule"
    assert not [name for name in new.entries() if name.startswith("lib/")]


@pytest.mark.skipif(shutil.which("cpio") is None, reason="no cpio on this host")
def test_cpio_unpacks_it_with_the_link_in_its_place(tmp_path: Path) -> None:
    image = image_of(tmp_path, DRACUT)
    found = stale_files(image, NAMES)
    write_image(image, tmp_path / "new", {**found.contents, "lib/modules/6.1/x.ko": b"x"}, found.moved)
    out = tmp_path / "out"
    out.mkdir()
    with (tmp_path / "new").open("rb") as file:
        subprocess.run(["cpio", "-i", "-d", "--quiet"], stdin=file, cwd=out, check=True)
    assert (out / "lib").is_symlink()
    assert (out / "lib/modules/6.1/x.ko").read_bytes() == b"x"
    assert (out / UNITS / "initrd.target.wants/dev-vda2.device").readlink() == Path("../dev-vda2.device")
    assert (out / "etc/crypttab").stat().st_mode & 0o777 == 0o600


def linked(names: list[str], content: bytes, *, data_in: int, number: int) -> bytes:
    """Return hard links to each other as GNU cpio writes them: one of them has the content."""
    return b"".join(
        cpio.entry(name, content if position == data_in else b"", number=number, mode=SCRIPT, links=len(names))
        for position, name in enumerate(names)
    )


@pytest.mark.parametrize("data_in", [0, 2])
def test_hard_links_are_changed_one_by_one(tmp_path: Path, data_in: int) -> None:
    path = tmp_path / "initramfs"
    timeouts = [f"{UNITS}/dev-{disk}.device.d/timeout.conf" for disk in ("sda2", "mapper-vg", "sdb1")]
    others = ["usr/a", "usr/b", "usr/c"]
    archive = cpio.file_entry("init", b"", number=1)
    archive += linked(timeouts, b"[Unit]\n", data_in=data_in, number=7)
    archive += linked(others, b"alike\n", data_in=data_in, number=8)
    archive += linked(["etc/cmdline.d/a.conf", "etc/cmdline.d/b.conf"], b"root=/dev/sda2\n", data_in=1, number=9)
    # The numbers begin anew in every archive.
    first = archive + cpio.trailer(len(archive))
    path.write_bytes(gzip.compress(first + cpio.file_entry("usr/d", b"other\n", number=7) + cpio.trailer(0)))
    image = read_image(path, tmp_path)
    assert image.read(timeouts[0]) == image.read(timeouts[1]) == b"[Unit]\n"
    found = stale_files(image, NAMES)
    assert set(found.contents) == {"etc/cmdline.d/a.conf", "etc/cmdline.d/b.conf"}
    write_image(image, tmp_path / "new", {**found.contents, "usr/b": b"changed\n"}, found.moved)

    out = tmp_path / "out"
    out.mkdir()
    with gzip.open(tmp_path / "new") as file:
        subprocess.run(["cpio", "-i", "-d", "--quiet"], input=file.read(), cwd=out, check=True)
    assert {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()} == {
        "init": b"",
        f"{UNITS}/dev-vda2.device.d/timeout.conf": b"[Unit]\n",
        f"{UNITS}/dev-mapper-vg.device.d/timeout.conf": b"[Unit]\n",
        f"{UNITS}/dev-vdb1.device.d/timeout.conf": b"[Unit]\n",
        "usr/a": b"alike\n",
        "usr/b": b"changed\n",
        "usr/c": b"alike\n",
        "usr/d": b"other\n",
        "etc/cmdline.d/a.conf": b"root=/dev/vda2\n",
        "etc/cmdline.d/b.conf": b"root=/dev/vda2\n",
    }


@pytest.mark.parametrize(
    "links",
    [
        {"a": (b"b", LINK), "b": (b"a", LINK)},
        {"a": (b"", LINK)},
        {"a": (b"a/a/a", LINK)},
        {"a": (b"content", 0o100644)},
    ],
)
def test_a_directory_that_is_none_is_an_error(tmp_path: Path, links: dict[str, tuple[bytes, int]]) -> None:
    image = image_of(tmp_path, {"init": (b"", SCRIPT), **links})
    with pytest.raises(ArchiveError):
        write_image(image, tmp_path / "new", {"a/file": b"x"})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=6), st.booleans())
def test_links_lead_nowhere_outside(tmp_path_factory: pytest.TempPathFactory, parts: list[str], absolute: bool) -> None:
    directory = tmp_path_factory.mktemp("image")
    target = ("/" if absolute else "") + "/".join(parts)
    image = image_of(directory, {"init": (b"", SCRIPT), "link": (target.encode(), LINK)})
    place = image.place("link/file")
    assert place.endswith("file")
    assert ".." not in place.split("/")
    assert not place.startswith("/")
