# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels whose images do not have the version in their names, and the initramfs of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.linux.kernel_images import suffix_of, version_in, what_is_there
from v2v_convert_guestfs.linux.kernels import find_kernels


def image(version: str) -> bytes:
    """Return the beginning of a kernel image for PCs: its header, with the version at the end of the setup code."""
    header = bytearray(0x3000)
    header[0x202:0x206] = b"HdrS"
    header[0x20E:0x210] = (0x2C00 - 0x200).to_bytes(2, "little")
    text = f"{version} (builder@host) #1 SMP".encode() + b"\0"
    header[0x2C00 : 0x2C00 + len(text)] = text
    return bytes(header)


def kernels(phony: Callable[..., Any], *versions: str, **files: bytes) -> dict[str, tuple[str, str | None]]:
    modules = {f"/lib/modules/{version}/modules.dep": b"kernel/virtio_blk.ko:\n" for version in versions}
    # Real libguestfs lists directories, too, with a slash at the end.
    guest = phony({**modules, **{f"/lib/modules/{version}/": b"" for version in versions}, **files})
    is_dir = guest.tree.is_dir
    guest.tree.is_dir = lambda path, followsymlinks=False: is_dir(path)
    guest.tree.file_architecture = lambda _path: "x86_64"
    return {kernel.version: (kernel.image, kernel.initramfs) for kernel in find_kernels(guest.session, guest.files)}


def test_arch_linux(phony: Callable[..., Any]) -> None:
    """KVM-VMI/kvm-vmi#196: two kernels, one of them the administrator's own, with fixed names in /boot."""
    new, own = "6.9.7-arch1-1", "5.4.24-kvmi-07431-gcc45b7af077c-dirty"
    found = kernels(
        phony,
        new,
        own,
        **{
            f"/lib/modules/{new}/vmlinuz": image(new),
            f"/lib/modules/{new}/pkgbase": b"linux\n",
            "/boot/vmlinuz-linux": image(new),
            "/boot/initramfs-linux.img": b"x",
            "/boot/initramfs-linux-fallback.img": b"x",
            "/boot/vmlinuz-linux-kvmi": image(own),
            "/boot/initramfs-linux-kvmi.img": b"x",
        },
    )
    assert found == {
        new: ("/boot/vmlinuz-linux", "/boot/initramfs-linux.img"),
        own: ("/boot/vmlinuz-linux-kvmi", "/boot/initramfs-linux-kvmi.img"),
    }


def test_alpine_linux(phony: Callable[..., Any]) -> None:
    """kubevirt/kubevirt#11256: Alpine's flavours virt and lts; /boot/config-virt has no version either."""
    lts, virt = "6.6.53-0-lts", "6.6.53-0-virt"
    found = kernels(
        phony,
        lts,
        virt,
        **{
            "/boot/vmlinuz-lts": image(lts),
            "/boot/initramfs-lts": b"x",
            # No header, as on other architectures.
            "/boot/vmlinuz-virt": b"x",
            "/boot/initramfs-virt": b"x",
            "/usr/share/kernel/virt/kernel.release": f"{virt}\n".encode(),
        },
    )
    assert found == {
        lts: ("/boot/vmlinuz-lts", "/boot/initramfs-lts"),
        virt: ("/boot/vmlinuz-virt", "/boot/initramfs-virt"),
    }


def test_gentoo_and_slackware(phony: Callable[..., Any]) -> None:
    gentoo, slackware = "6.1.41-gentoo", "5.15.161"
    found = kernels(
        phony,
        gentoo,
        slackware,
        **{
            "/boot/kernel-6.1.41-gentoo-x86_64": image(gentoo),
            "/boot/initramfs-6.1.41-gentoo-x86_64.img": b"x",
            "/boot/vmlinuz-generic-5.15.161": image(slackware),
            "/boot/vmlinuz-generic-5.15.161.old": image(slackware),
        },
    )
    assert found == {
        gentoo: ("/boot/kernel-6.1.41-gentoo-x86_64", "/boot/initramfs-6.1.41-gentoo-x86_64.img"),
        slackware: ("/boot/vmlinuz-generic-5.15.161", None),
    }


def test_a_kernel_without_modules(phony: Callable[..., Any]) -> None:
    """AwlsomeAlex/natick#16: a kernel with virtio and the file system built in, and no initramfs."""
    configuration = b"CONFIG_X86_64=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_VIRTIO_PCI=y\n"
    files = {
        "/boot/vmlinuz-6.6.30-own": b"x",
        "/boot/config-6.6.30-own": configuration,
        "/boot/bzImage": image("6.1.90-embedded"),
        "/boot/config-6.1.90-embedded": configuration,
        # The modules of this one are missing.
        "/boot/vmlinuz-6.5.1": b"x",
        "/boot/config-6.5.1": configuration + b"CONFIG_MODULES=y\n",
    }
    guest = phony(files)
    guest.tree.is_dir = lambda path, followsymlinks=False: False
    found = find_kernels(guest.session, guest.files)
    assert [(kernel.version, kernel.image) for kernel in found] == [
        *(("6.6.30-own", "/boot/vmlinuz-6.6.30-own"), ("6.1.90-embedded", "/boot/bzImage")),
    ]
    assert all(kernel.builds_in("virtio_blk") and not kernel.drives("virtio_net") for kernel in found)
    assert guest.report.warnings == []


def test_what_is_there(phony: Callable[..., Any]) -> None:
    files = phony({"/boot/vmlinuz-lts": b"x", "/lib/modules/6.6.53-0-lts/": b"", "/lib/modules/6.6.10/": b""}).files
    assert what_is_there(files) == (" (there is vmlinuz-lts in /boot, and 6.6.10, 6.6.53-0-lts in /lib/modules)")
    assert what_is_there(phony({"/boot/vmlinuz-1": b""}).files).endswith("in /boot, and nothing in /lib/modules)")
    assert what_is_there(phony({}).files) == ""


def test_a_name_with_the_version_comes_first(phony: Callable[..., Any]) -> None:
    version = "5.14.0-70.el9.x86_64"
    found = kernels(
        phony,
        version,
        **{
            f"/boot/vmlinuz-{version}": b"x",
            f"/boot/initramfs-{version}.img": b"x",
            "/boot/vmlinuz-0-rescue-0123": image(version),
            "/boot/vmlinuz": image(version),
        },
    )
    assert found == {version: (f"/boot/vmlinuz-{version}", f"/boot/initramfs-{version}.img")}


@pytest.mark.parametrize("header", [b"", b"\0" * 0x300, image("")[:0x204], b"\0" * 0x202 + b"HdrS" + b"\xff" * 20])
def test_what_is_no_kernel_has_no_version(header: bytes) -> None:
    assert version_in(header) is None


def test_the_kernel_of_this_machine_says_its_version() -> None:
    """Check that the header is read as the real boot protocol has it, on an image of the distribution's."""
    images = [path for path in Path("/boot").glob("vmlinuz-*") if path.stat().st_size]
    images += list(Path("/var/tmp").glob(".guestfs-*/appliance.d/kernel"))
    for path in images:
        found = version_in(path.read_bytes()[:0x10400])
        assert found is not None
        assert not path.name.startswith("vmlinuz-") or path.name == f"vmlinuz-{found}"


def test_suffixes() -> None:
    assert [suffix_of(f"/boot/{name}") for name in ("vmlinuz-lts", "vmlinuz", "kernel-6.1-gentoo", "bzImage-x")] == [
        *("lts", "", "6.1-gentoo", "x"),
    ]
