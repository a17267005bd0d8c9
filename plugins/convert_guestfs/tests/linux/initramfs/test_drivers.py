# SPDX-License-Identifier: GPL-2.0-or-later
"""The drivers that an initramfs must have follow from the bus of the disks."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.blacklists import look_for_blacklists
from v2v_convert_guestfs.linux.initramfs.drivers import can_boot_from, essential
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine_file, lacking_modules
from v2v_convert_guestfs.linux.initramfs.rebuild import modules_of
from v2v_convert_guestfs.linux.initramfs.update import examine_kernels
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, SourceDisk

#: A kernel without virtio: SATA and two generations of IDE drivers.
MODULES = (
    b"kernel/drivers/ata/ahci.ko: kernel/drivers/ata/libahci.ko kernel/drivers/ata/libata.ko\n"
    b"kernel/drivers/ata/libahci.ko: kernel/drivers/ata/libata.ko\nkernel/drivers/ata/libata.ko:\n"
    b"kernel/drivers/ata/ata_piix.ko: kernel/drivers/ata/libata.ko\nkernel/drivers/scsi/sd_mod.ko:\n"
    b"kernel/drivers/ide/piix.ko: kernel/drivers/ide/ide-core.ko\nkernel/drivers/ide/ide-core.ko:\n"
    b"kernel/drivers/ide/ide-disk.ko: kernel/drivers/ide/ide-core.ko\n"
)
NAMES = DeviceNames.of([SourceDisk(index=1)], "sd")


def kernel_of(version: str = "4.4.0", modules: bytes = MODULES, **config: str) -> Kernel:
    return Kernel(
        version=version,
        image=f"/boot/vmlinuz-{version}",
        modules_directory=f"/lib/modules/{version}",
        initramfs=f"/boot/initrd.img-{version}",
        modules=parse_modules(modules, b""),
        config=config,
    )


def examined(directory: Path, kernel: Kernel, bus: Bus, *modules: str) -> Examination:
    files = {"init": b"", **{f"lib/modules/{kernel.version}/kernel/{name}.ko": b"" for name in modules}}
    data = b"".join(cpio.file_entry(name, content, number=i) for i, (name, content) in enumerate(files.items(), 1))
    path = directory / "initramfs"
    path.write_bytes(gzip.compress(data + cpio.trailer(len(data))))
    return examine_file(kernel, path, NAMES, directory, bus)


@pytest.mark.parametrize(
    ("bus", "version", "modules", "lacking"),
    [
        (Bus.SATA, "4.4.0", ("mptspi", "sd_mod"), ("ahci",)),
        (Bus.SATA, "4.4.0", ("ahci", "libata", "sd_mod"), ("ahci",)),
        (Bus.SATA, "4.4.0", ("ahci", "libahci", "libata"), ("sd_mod",)),
        (Bus.SATA, "4.4.0", ("ahci", "libahci", "libata", "sd_mod"), ()),
        (Bus.IDE, "3.0.101", ("sd_mod",), ("ata_piix",)),
        (Bus.IDE, "3.0.101", ("ata_piix", "libata", "sd_mod"), ()),
        (Bus.IDE, "2.6.16", (), ("piix", "ide_disk")),
        # Either of the two generations will do.
        (Bus.IDE, "2.6.16", ("ata_piix", "libata", "sd_mod"), ()),
        (Bus.IDE, "3.0.101", ("piix", "ide-core", "ide-disk"), ()),
        (Bus.VIRTIO_BLK, "4.4.0", ("sd_mod",), ()),
    ],
)
def test_what_is_lacking(
    tmp_path: Path, bus: Bus, version: str, modules: tuple[str, ...], lacking: tuple[str, ...]
) -> None:
    found = examined(tmp_path, kernel_of(version), bus, *modules)
    assert found.lacking == lacking
    assert found.boots is not bool(lacking)


def test_drivers_of_virtio_are_looked_for_with_virtio_only() -> None:
    both = kernel_of(modules=MODULES + b"kernel/virtio_pci.ko:\nkernel/virtio_blk.ko:\nkernel/virtio_scsi.ko:\n")
    assert lacking_modules(both, frozenset(), Bus.VIRTIO_BLK) == ("virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod")
    assert lacking_modules(both, frozenset(), Bus.VIRTIO_SCSI) == ("virtio_pci", "virtio_scsi", "sd_mod")
    assert lacking_modules(both, frozenset(), Bus.SATA) == ("ahci", "sd_mod")
    assert modules_of(both, Bus.SATA) == ("ahci", "sd_mod")


def test_built_in_drivers_lack_nowhere() -> None:
    old = kernel_of("2.6.18", b"kernel/ata_piix.ko:\nkernel/sd_mod.ko:\n", BLK_DEV_PIIX="y", BLK_DEV_IDEDISK="y")
    assert essential(old, Bus.IDE) == ("piix", "ide_disk")
    assert lacking_modules(old, frozenset(), Bus.IDE) == ()
    assert lacking_modules(kernel_of(SATA_AHCI="y"), frozenset(), Bus.SATA) == ("sd_mod",)


def test_what_a_kernel_can_boot_from() -> None:
    assert [bus for bus in Bus if can_boot_from(kernel_of(), bus)] == [Bus.IDE, Bus.SATA]
    assert not can_boot_from(kernel_of(modules=b"kernel/ahci.ko:\n"), Bus.SATA)


@pytest.mark.parametrize(("name", "bus", "blocked"), [("libahci", Bus.SATA, True), ("ahci", Bus.IDE, False)])
def test_a_forbidden_driver_is_in_the_way_if_the_bus_needs_it(name: str, bus: Bus, blocked: bool) -> None:
    path = "/etc/modprobe.d/local.conf"
    files = SimpleNamespace(
        glob=lambda pattern: [path] if pattern == "/etc/modprobe.d/*" else [],
        read=lambda _path: f"blacklist {name}\n".encode(),
    )
    session = SimpleNamespace(report=SimpleNamespace(warning=lambda _text: None))
    blockers = Blockers()
    look_for_blacklists(cast("Session", session), cast("GuestFiles", files), kernel_of(), blockers, bus)
    assert bool(blockers.reasons) is blocked
    assert not blocked or "SATA" in blockers.reasons[0][0]


@pytest.mark.parametrize(
    ("modules", "config", "warned"),
    [
        (b"kernel/sd_mod.ko:\n", {"EXT4_FS": "y"}, True),
        (b"kernel/sd_mod.ko:\n", {"SATA_AHCI": "y"}, False),
        # Nothing is known about built-in drivers.
        (b"kernel/sd_mod.ko:\n", {}, False),
        (MODULES, {"EXT4_FS": "y"}, False),
    ],
)
def test_a_kernel_without_drivers_is_reported(guest: Any, modules: bytes, config: dict[str, str], warned: bool) -> None:
    kernel = replace(kernel_of(modules=modules, **config), initramfs=None)
    examine_kernels(guest.session, guest.files, [kernel], NAMES, Blockers(), Bus.SATA)
    assert bool([text for text in guest.report.warnings if "no drivers for SATA disks" in text]) is warned
