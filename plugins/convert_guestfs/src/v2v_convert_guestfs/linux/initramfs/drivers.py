# SPDX-License-Identifier: GPL-2.0-or-later
"""The drivers that a kernel needs to reach its disks, by the bus that the target's disks are on."""

from __future__ import annotations

from collections.abc import Mapping, Set

from v2v_convert_guestfs.linux.kernels import Kernel, module_name
from v2v_core.api import Bus

#: Sets of drivers, each of which is sufficient.
_SUFFICIENT: Mapping[Bus, tuple[tuple[str, ...], ...]] = {
    Bus.VIRTIO_BLK: (("virtio_pci", "virtio_blk"),),
    Bus.VIRTIO_SCSI: (("virtio_pci", "virtio_scsi", "sd_mod"),),
    Bus.SATA: (("ahci", "sd_mod"),),
    Bus.IDE: (("ata_piix", "sd_mod"), ("piix", "ide_disk"), ("piix", "ide_gd_mod")),
}
#: The oldest Linux whose distributions use libata for IDE disks. Those of older ones may have it, too.
_LIBATA_SINCE = "2.6.27"
#: Drivers that are added as well, because the user may move the disks to another bus later.
_USEFUL: Mapping[Bus, tuple[str, ...]] = {Bus.VIRTIO_BLK: ("virtio_scsi", "sd_mod")}


def essential(kernel: Kernel, bus: Bus, present: Set[str] = frozenset()) -> tuple[str, ...]:
    """Return the drivers without which the kernel does not reach a disk on the bus, be they modules or built in.

    :param present: the names of the modules in an initramfs. A set of drivers that it contains comes first.
    """
    sets = _sufficient(kernel, bus)
    possible = [names for names in sets if all(kernel.drives(name) for name in names)]
    complete = [names for names in possible if not incomplete(kernel, names, present)]
    return next(iter((*complete, *possible, *sets)), ())


def wanted(kernel: Kernel, bus: Bus, present: Set[str] = frozenset()) -> tuple[str, ...]:
    """Return the drivers to look for in an initramfs: the essential ones first."""
    return (*essential(kernel, bus, present), *_USEFUL.get(bus, ()))


def incomplete(kernel: Kernel, names: tuple[str, ...], present: Set[str]) -> tuple[str, ...]:
    """Return those drivers that are incomplete in an image: the module itself or a dependency is missing.

    Drivers that are built into the kernel, or that the kernel does not have, are left out.
    """
    return tuple(
        name
        for name in names
        if name in kernel.modules.paths
        and not kernel.builds_in(name)
        and not {module_name(path) for path in kernel.modules.closure([name])} <= present
    )


def can_boot_from(kernel: Kernel, bus: Bus) -> bool:
    """Return whether the kernel has the drivers for disks on the bus."""
    return any(all(kernel.drives(name) for name in names) for names in _sufficient(kernel, bus))


def builds_in_all_for(kernel: Kernel, bus: Bus) -> bool:
    """Return whether the kernel reaches disks on the bus without an initramfs."""
    return any(all(kernel.builds_in(name) for name in names) for names in _sufficient(kernel, bus))


def _sufficient(kernel: Kernel, bus: Bus) -> tuple[tuple[str, ...], ...]:
    """Return the sets of drivers, the one that the kernel's distribution uses first."""
    sets = _SUFFICIENT.get(bus, ())
    return sets if bus is not Bus.IDE or kernel.at_least(_LIBATA_SINCE) else (*sets[1:], sets[0])


def label(bus: Bus) -> str:
    """Return the name of the bus for messages."""
    return "virtio" if bus in {Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI} else bus.value.upper()
