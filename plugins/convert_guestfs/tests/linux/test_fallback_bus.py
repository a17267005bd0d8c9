# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel without virtio drivers gets disks on a bus that it can boot from, or the conversion stops."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.linux import fallback_bus
from v2v_convert_guestfs.linux.capabilities import capabilities_of
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine_file
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import Bus, Capabilities

AHCI = b"kernel/ahci.ko: kernel/libata.ko\n"
PIIX = b"kernel/ata_piix.ko: kernel/libata.ko\n"
REST = b"kernel/libata.ko:\nkernel/sd_mod.ko:\nkernel/virtio_net.ko:\n"


def kernel_of(version: str, modules: bytes, builtin: bytes = b"kernel/ext4.ko\n", **config: str) -> Kernel:
    return Kernel(
        version=version,
        image=f"/boot/vmlinuz-{version}",
        modules_directory=f"/lib/modules/{version}",
        initramfs=f"/boot/initrd-{version}",
        modules=parse_modules(modules, builtin),
        config=config,
    )


def choose(guest: Any, directory: Path, kernel: Kernel, *present: str, can_make: bool) -> tuple[Capabilities, Blockers]:
    names = DeviceNames.of((), "sd")
    files = {"init": b"#!/bin/sh\n", **{f"lib/modules/{kernel.version}/{name}.ko": b"" for name in present}}
    data = b"".join(cpio.file_entry(name, content, number=i) for i, (name, content) in enumerate(files.items(), 1))
    (directory / "initramfs").write_bytes(gzip.compress(data + cpio.trailer(len(data))))

    def examine() -> Examination:
        return examine_file(kernel, directory / "initramfs", names, directory, Bus.SATA)

    blockers = Blockers()
    suggested = capabilities_of(kernel, guest.session.inspection)
    chosen = fallback_bus.choose(
        guest.session, kernel, suggested, blockers, examine=examine, can_make=lambda _examined: can_make
    )
    return chosen, blockers


@pytest.mark.parametrize(
    ("version", "modules", "present", "can_make", "expected"),
    [
        ("4.4.0", AHCI + PIIX + REST, ("ahci", "libata", "sd_mod"), False, (Bus.SATA, "q35")),
        # ahci can be added.
        ("4.4.0", AHCI + PIIX + REST, ("ata_piix", "libata", "sd_mod"), True, (Bus.SATA, "q35")),
        # It cannot; IDE works as it is.
        ("4.4.0", AHCI + PIIX + REST, ("ata_piix", "libata", "sd_mod"), False, (Bus.IDE, "i440fx")),
        # Neither: the examination of the initramfs says so.
        ("4.4.0", AHCI + PIIX + REST, ("mptspi", "sd_mod"), False, (Bus.SATA, "q35")),
        # The kernel has no ahci at all.
        ("4.4.0", PIIX + REST, ("ata_piix", "libata", "sd_mod"), True, (Bus.IDE, "i440fx")),
        ("4.4.0", PIIX + REST, (), True, (Bus.IDE, "i440fx")),
        # An old kernel, the other way round
        ("2.6.32", AHCI + PIIX + REST, ("ata_piix", "libata", "sd_mod"), False, (Bus.IDE, "i440fx")),
        ("2.6.32", AHCI + REST, ("ahci", "libata", "sd_mod"), False, (Bus.SATA, "q35")),
    ],
)
def test_the_bus(
    guest: Any,
    tmp_path: Path,
    version: str,
    modules: bytes,
    present: tuple[str, ...],
    can_make: bool,
    expected: tuple[Bus, str],
) -> None:
    """systemd/systemd#11630: an initramfs of Arch Linux lacked ata_piix for QEMU's IDE disks."""
    chosen, blockers = choose(guest, tmp_path, kernel_of(version, modules), *present, can_make=can_make)
    assert (chosen.block_bus, chosen.machine) == expected
    assert blockers.reasons == []


def test_a_kernel_without_any_driver_is_in_the_way(guest: Any, tmp_path: Path) -> None:
    _, blockers = choose(guest, tmp_path, kernel_of("4.4.0", REST), can_make=True)
    ((reason, hint),) = blockers.reasons
    assert "no drivers for disks of KVM: neither for virtio nor for SATA (ahci, sd_mod) nor for IDE" in reason
    assert "virtio drivers" in hint


def test_what_is_not_known_is_not_in_the_way(guest: Any, tmp_path: Path) -> None:
    """Check that a kernel that does not list its built-in drivers keeps what its age suggests."""
    chosen, blockers = choose(guest, tmp_path, kernel_of("4.4.0", REST, builtin=b""), can_make=True)
    assert (chosen.block_bus, blockers.reasons) == (Bus.SATA, [])


def test_built_in_drivers_need_no_initramfs(guest: Any, tmp_path: Path) -> None:
    """dermotbradley/create-alpine-disk-image#30: ata_piix is compiled into a kernel of Alpine."""
    kernel = kernel_of("6.6.0", REST, b"kernel/ata_piix.ko\nkernel/sd_mod.ko\n")
    chosen, blockers = choose(guest, tmp_path, kernel, can_make=False)
    assert (chosen.block_bus, chosen.machine, blockers.reasons) == (Bus.IDE, "i440fx", [])


@pytest.mark.parametrize(
    ("builtin", "expected"),
    [
        (("ahci", "sd_mod"), (Bus.SATA, "q35")),
        (("ata_piix", "sd_mod"), (Bus.IDE, "i440fx")),
        (("virtio_pci", "virtio_scsi", "sd_mod", "ahci"), (Bus.VIRTIO_SCSI, "q35")),
        (("virtio_pci", "virtio_blk", "ahci", "sd_mod"), (Bus.VIRTIO_BLK, "q35")),
        # None will do; the warning about that comes with the examination of the initramfs.
        (("ext4",), (Bus.VIRTIO_BLK, "q35")),
    ],
)
def test_a_kernel_without_initramfs(guest: Any, builtin: tuple[str, ...], expected: tuple[Bus, str]) -> None:
    """AwlsomeAlex/natick#16: without an initramfs, the drivers must be built in."""
    modules = b"kernel/virtio_pci.ko:\nkernel/virtio_blk.ko:\n" + AHCI + PIIX + REST
    kernel = kernel_of("6.6.0", modules, "".join(f"kernel/{name}.ko\n" for name in builtin).encode())
    kernel = replace(kernel, initramfs=None)
    suggested = capabilities_of(kernel, guest.session.inspection)
    found = fallback_bus.choose_without_initramfs(guest.session, kernel, suggested)
    assert (found.block_bus, found.machine) == expected


def test_virtio_scsi_alone_is_virtio_as_well(guest: Any) -> None:
    modules = b"kernel/virtio_pci.ko:\nkernel/virtio_scsi.ko:\n" + REST
    found = capabilities_of(kernel_of("5.10.0", modules), guest.session.inspection)
    assert (found.block_bus, found.machine) == (Bus.VIRTIO_SCSI, "q35")
