# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the disks and drives of the target are attached, and what they are called there.

Fixed disks come first, in order, on the bus that the guest has a driver for. CD-ROM and floppy drives then get the
place that they had at the source if it is free. A virtual machine has one set of device names (``vda``, ``sda``,
``hda``, ``fda``), and SATA and SCSI share theirs: libvirt refuses two disks called ``sda``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from v2v_core.drive_names import drive_letters, drive_number
from v2v_core.errors import ConversionError
from v2v_core.model import (
    Bus,
    Capabilities,
    Firmware,
    Guest,
    Removable,
    TargetDisk,
    TargetProfile,
    TargetRemovable,
)

_PREFIX = {
    Bus.VIRTIO_BLK: "vd",
    Bus.SCSI: "sd",
    Bus.VIRTIO_SCSI: "sd",
    Bus.SATA: "sd",
    Bus.IDE: "hd",
    Bus.FLOPPY: "fd",
}
#: The one IDE controller of the i440fx has two channels with two drives each; a floppy controller has two drives.
_ROOM = {Bus.IDE: 4, Bus.FLOPPY: 2}
_SCSI = (Bus.SCSI, Bus.VIRTIO_SCSI)
_ANY_TARGET = TargetProfile()


def assign_buses(
    guest: Guest,
    capabilities: Capabilities,
    *,
    boot_disk: int | None = None,
    profile: TargetProfile = _ANY_TARGET,
) -> tuple[tuple[TargetDisk, ...], tuple[TargetRemovable, ...], list[str]]:
    """Attach the disks and the removable drives of a guest to the buses of the target.

    IDE is SATA on a q35, and virtio-scsi on the ``virt`` machine, which have none. A CD-ROM drive cannot be on
    virtio-blk and goes where IDE would go. What finds no room any more on IDE goes to SATA (a disk) or is left out (a
    drive).

    :param boot_disk: number of the disk that boots, from 1: it comes first in the boot order. The others follow as the
        source has them, and in the order of the disks where it does not say; so do all with None or a disk that does
        not exist.
    :param profile: what the target can give; ``fit_profile`` has chosen the machine already.
    :return: the disks, the drives, and a warning for each thing that could not be as it was at the source.
    """
    slots = _Slots()
    warnings: list[str] = []
    order = list(guest.boot_sequence)
    if boot_disk in order:
        order.remove(boot_disk)
        order.insert(0, boot_disk)
    elif boot_disk is not None:
        warnings.append(f"the guest boots from disk {boot_disk}, which it does not have")
    disks = []
    for disk in guest.disks:
        bus = _offered(_available(capabilities.block_bus, capabilities.machine), capabilities.machine, profile)
        if slots.free(bus, None) is None:
            warnings.append(f"disk {disk.index} is attached to SATA: there is no room left on {bus}")
            bus = Bus.SATA
        device = slots.take(bus, None) or ""
        disks.append(
            TargetDisk(index=disk.index, bus=bus, device=device, boot_order=order.index(disk.index) + 1, size=disk.size)
        )
    # those that want a certain place before those that take any; sorted() keeps the order otherwise
    wishes = sorted(range(len(guest.removables)), key=lambda i: guest.removables[i].slot is None)
    placed: dict[int, TargetRemovable] = {}
    for i in wishes:
        drive = _place(guest.removables[i], capabilities, slots, warnings)
        if drive is not None:
            placed[i] = drive
    return tuple(disks), tuple(placed[i] for i in sorted(placed)), warnings


def fit_profile(
    capabilities: Capabilities, firmware: Firmware, profile: TargetProfile
) -> tuple[Capabilities, tuple[str, ...]]:
    """Choose for a converted guest what the target can give.

    :return: the capabilities with a bus and a machine that the target has, and a warning for each thing that is not as
        the guest would have it.
    :raises ConversionError: the guest cannot boot there.
    """
    if firmware is not Firmware.UNKNOWN and firmware not in profile.firmware:
        raise ConversionError(
            f"the guest boots with {firmware.value.upper()}, which guests cannot have at this target",
            hint="choose another target",
        )
    warnings = []
    machine = capabilities.machine
    if profile.machines and machine not in profile.machines:
        machine = profile.machines[0]
        warnings.append(f"the guest gets the machine type {machine}: the target has no {capabilities.machine}")
    if firmware is Firmware.UEFI and machine in profile.without_uefi:
        machine = _with_uefi(capabilities, machine, profile)
        warnings.append(
            f"the guest gets the machine type {machine}: at this target, {capabilities.machine} cannot boot with UEFI"
        )
    wanted = _available(capabilities.block_bus, machine)
    bus = _offered(wanted, machine, profile)
    if bus is not wanted:
        warnings.append(f"the disks are attached to {bus.value}: the target has no {wanted.value}")
    return dataclasses.replace(capabilities, machine=machine, block_bus=bus), tuple(warnings)


def _with_uefi(capabilities: Capabilities, machine: str, profile: TargetProfile) -> str:
    """Return a machine of the target that has UEFI, and that this guest finds its disk on.

    :raises ConversionError: there is none.
    """
    others = [other for other in profile.machines if other not in profile.without_uefi]
    # The slots of a q35 are PCI Express, where virtio devices have only version 1.0. It has no IDE either, and the
    # guest was made ready to boot from the bus that it asks for.
    known = capabilities.virtio_1_0 and capabilities.block_bus in {Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI}
    if "q35" in others and known:
        return "q35"
    raise ConversionError(
        "the guest boots with UEFI, but its kernel is too old for the machine types that have UEFI at this target: "
        f"it needs the machine type {machine}",
        hint="install a newer kernel in the guest at its hypervisor (Linux 4.0 or later, or that of RHEL 7), or choose "
        f"a target that has {machine} with UEFI, such as -o local",
    )


def _offered(bus: Bus, machine: str, profile: TargetProfile) -> Bus:
    """Return the bus if the target has it, else one that every guest has a driver for.

    :raises ConversionError: there is none.
    """
    if bus in profile.buses:
        return bus
    for common in (_available(Bus.SATA, machine), _available(Bus.IDE, machine)):
        if common in profile.buses and common in {Bus.SATA, Bus.IDE}:
            return common
    offered = ", ".join(one.value for one in profile.buses)
    raise ConversionError(
        f"the guest has a driver for disks on {bus.value}, and the target offers {offered}",
        hint="install the drivers for one of these in the guest, or choose another target",
    )


def device_slot(device: str) -> int | None:
    """Return the slot of a device name: 0 for ``sda``, 26 for ``hdaa``, 1 for ``sr1``; None for any other name."""
    for prefix in ("sr", "xvd", "hd", "sd", "vd", "fd"):
        rest = device.removeprefix(prefix)
        if rest == device or not rest.isascii() or len(rest) > 6:
            continue
        if prefix == "sr":
            return int(rest) if rest.isdigit() else None
        try:
            return drive_number(rest)
        except ValueError:
            continue
    return None


@dataclass
class _Slots:
    """Which device names are taken, by prefix, and by which bus."""

    taken: dict[str, dict[int, Bus]] = field(default_factory=dict)

    def free(self, bus: Bus, wanted: int | None) -> int | None:
        """Find the first free slot from the wanted one on; None if the bus is full."""
        taken = self.taken.setdefault(_PREFIX[bus], {})
        room = _ROOM.get(bus)
        # a slot far beyond what a bus has is a mistake of the source; names stay short and the search ends
        start = wanted if wanted is not None and 0 <= wanted < (room or 26) else 0
        limit = room if room is not None else start + len(taken) + 1
        found = next((slot for slot in range(start, limit) if slot not in taken), None)
        return next((slot for slot in range(start) if slot not in taken), None) if found is None else found

    def take(self, bus: Bus, wanted: int | None) -> str | None:
        """Take that slot; give the name of the device, or None if the bus is full."""
        slot = self.free(bus, wanted)
        if slot is None:
            return None
        self.taken[_PREFIX[bus]][slot] = bus
        return _PREFIX[bus] + drive_letters(slot)


def _place(drive: Removable, capabilities: Capabilities, slots: _Slots, warnings: list[str]) -> TargetRemovable | None:
    """Attach a removable drive, or warn and give None."""
    what = "floppy drive" if drive.kind == "floppy" else "CD-ROM drive"
    if drive.kind == "floppy":
        bus = Bus.FLOPPY
    elif drive.bus in {Bus.SCSI, Bus.VIRTIO_SCSI, Bus.NVME}:
        bus = Bus.SCSI
    else:
        # SATA too: every guest has a driver for the CD-ROM of the machine, not every one has virtio-scsi
        bus = _available(Bus.IDE, capabilities.machine)
    slot = slots.free(bus, drive.slot)
    if slot is None:
        warnings.append(f"a {what} is left out: there is no room left on {bus}")
        return None
    if drive.slot is not None and slot != drive.slot:
        holder = slots.taken[_PREFIX[bus]].get(drive.slot)
        if holder is None or _same_bus(holder, bus):
            warnings.append(f"a {what} could not have slot {drive.slot} on {bus} as at the source, it has slot {slot}")
    device = slots.take(bus, drive.slot)
    return TargetRemovable(kind=drive.kind, bus=bus, device=device) if device is not None else None


def _available(bus: Bus, machine: str) -> Bus:
    """Return the bus, or the one that takes its place on a machine that lacks it."""
    if bus is Bus.NVME:
        bus = Bus.VIRTIO_BLK
    if bus in {Bus.IDE, Bus.SATA}:
        return {"i440fx": bus, "pc": bus, "virt": Bus.VIRTIO_SCSI}.get(machine, Bus.SATA)
    return bus


def _same_bus(one: Bus, other: Bus) -> bool:
    return one is other or (one in _SCSI and other in _SCSI)
