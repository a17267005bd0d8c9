# SPDX-License-Identifier: GPL-2.0-or-later
"""systemd-boot: its entries on the EFI system partition, their copies of the initramfs, the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux.bootloader import find_bootloader
from v2v_convert_guestfs.linux.bootloader.settings import ON_THE_SERIAL_PORT
from v2v_convert_guestfs.linux.bootloader.systemd_boot import SystemdBoot
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import ConversionError, Firmware, SourceDisk

Make = Callable[..., Any]
MACHINE, OLD, NEW = "0123456789abcdef0123456789abcdef", "6.1.0-9-amd64", "6.1.0-10-amd64"
NAMES = DeviceNames.of([SourceDisk(index=1)], "vd")


def entry(version: str, *, sort_key: str = "sort-key debian\n") -> bytes:
    return (
        f"# Boot Loader Specification type#1 entry\ntitle Debian\nversion {version}\nmachine-id {MACHINE}\n{sort_key}"
        f"options root=/dev/sda2 ro resume=/dev/sda3 console=hvc0\nlinux /{MACHINE}/{version}/linux\n"
        f"initrd /microcode.img\ninitrd /{MACHINE}/{version}/initrd.img-{version}\n"
    ).encode()


def guest_of(phony: Make, *, esp: str = "/boot/efi", loader: bytes = b"timeout 3\n", **more: bytes) -> Any:
    files = {
        f"{esp}/EFI/systemd/systemd-bootx64.efi": b"loader",
        f"{esp}/loader/loader.conf": loader,
        "/boot/grub/grub.cfg": b"menuentry 'left over' {\n linux /boot/vmlinuz-1\n}\n",
        "/etc/kernel/cmdline": b"root=/dev/sda2 ro console=hvc0\n",
    }
    for version in (OLD, NEW):
        files[f"{esp}/loader/entries/{MACHINE}-{version}.conf"] = entry(version)
        files[f"{esp}/{MACHINE}/{version}/initrd.img-{version}"] = b"copy"
    return phony({**files, **more}, uefi=True, distro="debian")


@pytest.mark.parametrize("esp", ["/boot/efi", "/efi", "/boot"])
def test_the_copies_that_it_loads_are_those_of_the_kernels(phony: Make, kernel: Make, esp: str) -> None:
    guest = guest_of(phony, esp=esp)
    loader = guest.bootloader()
    assert isinstance(loader, SystemdBoot)
    kernels = loader.with_own_images([kernel(NEW), kernel(OLD), kernel("5.10.0-1-amd64")])
    assert [found.initramfs for found in kernels] == [
        f"{esp}/{MACHINE}/{NEW}/initrd.img-{NEW}",
        f"{esp}/{MACHINE}/{OLD}/initrd.img-{OLD}",
        "/boot/initramfs-5.10.0-1-amd64.img",
    ]
    assert loader.bootable(kernels) == kernels[:2]


@pytest.mark.parametrize(
    ("loader", "expected"),
    [
        (b"timeout 3\n", NEW),
        (b"", NEW),
        (b"default @saved\n", NEW),
        (f"default {MACHINE}-{OLD}.conf\n".encode(), OLD),
        (f"default {MACHINE}-{OLD}\n".encode(), OLD),
        (b"timeout 3\ndefault *-9-*\n", OLD),
        (f"default {MACHINE}-*\n".encode(), NEW),
        (b"#default nothing\ndefault nothing.conf\n", NEW),
    ],
)
def test_the_default(phony: Make, kernel: Make, loader: bytes, expected: str) -> None:
    guest = guest_of(phony, loader=loader)
    kernels = [kernel(OLD), kernel(NEW)]
    assert guest.bootloader().default_kernel(kernels).version == expected
    for other in kernels:
        guest.bootloader().set_default(other)
        assert guest.bootloader().default_kernel(kernels) is other
    assert (b"timeout 3\n" in guest.content("/boot/efi/loader/loader.conf")) == (b"timeout" in loader)
    with pytest.raises(ConversionError, match=r"in the guest lacks the kernel 5\.10"):
        guest.bootloader().set_default(kernel("5.10"))


def test_the_order_of_the_menu(phony: Make, kernel: Make) -> None:
    names = {
        f"/boot/efi/loader/entries/{MACHINE}-{NEW}.conf": entry(NEW, sort_key=""),
        f"/boot/efi/loader/entries/{MACHINE}-{OLD}+2-1.conf": entry(OLD),
    }
    guest = guest_of(phony, **names)
    del guest.tree.files[f"/boot/efi/loader/entries/{MACHINE}-{OLD}.conf"]
    kernels = [kernel(NEW), kernel(OLD)]
    # One with a key to sort by comes before one without; a counter is no part of the name.
    assert guest.bootloader().default_kernel(kernels) is kernels[1]
    guest.bootloader().set_default(kernels[1])
    assert f"default {MACHINE}-{OLD}.conf\n".encode() in guest.content("/boot/efi/loader/loader.conf")
    assert guest.bootloader().default_kernel(kernels) is kernels[1]


def test_disks_and_consoles_on_the_command_lines(phony: Make) -> None:
    guest = guest_of(phony)
    loader = guest.bootloader()
    loader.change_consoles(ON_THE_SERIAL_PORT)
    loader.rename_devices(NAMES)
    for version in (OLD, NEW):
        content = guest.content(f"/boot/efi/loader/entries/{MACHINE}-{version}.conf")
        expected = entry(version).replace(b"/dev/sda", b"/dev/vda").replace(b"hvc0", b"ttyS0")
        assert content == expected
    assert guest.content("/etc/kernel/cmdline") == b"root=/dev/vda2 ro console=ttyS0\n"


def test_the_loader_for_an_empty_nvram(phony: Make) -> None:
    guest = guest_of(phony)
    guest.bootloader().ensure_fallback(Firmware.UEFI)
    assert guest.content("/boot/efi/EFI/BOOT/BOOTX64.EFI") == b"loader"
    there = guest_of(phony, **{"/boot/efi/EFI/BOOT/bootx64.efi": b"older"})
    there.bootloader().ensure_fallback(Firmware.UEFI)
    assert not there.changed


def test_an_entry_that_leads_out_of_its_partition_has_no_image(phony: Make, kernel: Make) -> None:
    path = f"/boot/efi/loader/entries/{MACHINE}-{NEW}.conf"
    guest = guest_of(phony, **{path: entry(NEW).replace(b"initrd /0123", b"initrd /../../etc/shadow /../0123")})
    assert guest.bootloader().with_own_images([kernel(NEW)]) == [replace(kernel(NEW), initramfs=None)]


def test_unified_kernel_images_stand_in_the_way(phony: Make) -> None:
    guest, blockers = guest_of(phony, **{f"/boot/efi/EFI/Linux/{MACHINE}-{NEW}.efi": b"MZ"}), Blockers()
    assert find_bootloader(guest.session, guest.files, blockers) is None
    ((reason, hint),) = blockers.reasons
    assert "unified kernel image" in reason
    assert "layout=bls" in hint


def test_arch_linux_names_images_after_packages(phony: Make, kernel: Make) -> None:
    """tpowa/Archboot#4: Arch Linux with systemd-boot."""
    text = b"title Arch Linux\nlinux /vmlinuz-linux\ninitrd /initramfs-linux.img\noptions root=UUID=1-2 rw\n"
    files = {
        "/boot/EFI/systemd/systemd-bootx64.efi": b"loader",
        "/boot/loader/loader.conf": b"default arch.conf\n",
        "/boot/loader/entries/arch.conf": text,
        "/boot/loader/entries/arch-fallback.conf": text.replace(b"linux.img", b"linux-fallback.img"),
        "/boot/vmlinuz-linux": b"x",
        "/boot/initramfs-linux.img": b"x",
        "/boot/initramfs-linux-fallback.img": b"x",
    }
    loader = phony(files, uefi=True, distro="archlinux").bootloader()
    own = replace(kernel("6.9.7-arch1-1"), image="/boot/vmlinuz-linux", initramfs=None)
    other = replace(kernel("6.6.36-1-lts"), image="/boot/vmlinuz-linux-lts", initramfs=None)
    assert loader.bootable([own, other]) == [own]
    assert loader.default_kernel([other, own]) is own
    (found,) = loader.with_own_images([own])
    assert found.initramfs == "/boot/initramfs-linux.img"
