# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot configuration on the partition that the firmware starts from: does its default entry lead to Windows?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.windows.boot import store
from v2v_convert_guestfs.windows.boot.bcd import DEVICE, GRAPHICS_DISABLED, OS_DEVICE, Entry
from v2v_convert_guestfs.windows.boot.disks import disk_of
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.places import BootDevice, DeviceKind, as_element, find, place_of
from v2v_convert_guestfs.windows.boot.store import BcdEdit, State, Store
from v2v_convert_guestfs.windows.boot.volumes import opened
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Firmware, visible

#: Where the boot configuration is, below the partition.
PATHS = {Firmware.UEFI: "/EFI/Microsoft/Boot/BCD", Firmware.BIOS: "/Boot/BCD"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """A boot configuration, and what is wrong with its default entry.

    :param partition: where it is. :param store: the file.
    :param loader: the partition with the loader of the default entry; None if it names none of the guest's.
    :param wrong: why Windows does not start by the default entry; "" if it does, as far as can be seen.
    :param unknown: that cannot be seen: the entry names an image file, or the partition cannot be read.
    """

    partition: Partition
    store: Store
    loader: Partition | None = None
    wrong: str = ""
    unknown: bool = False

    @property
    def entry(self) -> Entry | None:
        """The default entry."""
        return self.store.configuration.default if self.store.configuration is not None else None

    @property
    def shown(self) -> str:
        """The name of the file, for messages and the report."""
        return f"{self.partition.device}:{_path_on_partition(self.store.path)}"


def remedy(firmware: Firmware) -> str:
    r"""Return how the user makes a new boot configuration."""
    kind = "UEFI" if firmware is Firmware.UEFI else "BIOS"
    return (
        "start the converted guest from a Windows installation medium, open the command prompt of its repair options, "
        f"give the system partition a letter (diskpart), and run: bcdboot C:\\Windows /s LETTER: /f {kind}"
    )


def look(guest: WindowsGuest, disks: Sequence[Disk], starts: Sequence[Partition]) -> Found | None:
    """Read the first boot configuration on the partitions that the firmware starts from; None if there is none."""
    path, damaged = PATHS.get(guest.session.firmware, PATHS[Firmware.BIOS]), None
    for partition in starts:
        with opened(guest, partition.device) as place:
            read = store.read(guest, f"{place}{path}") if place is not None else Store(path, State.MISSING)
        found = Found(partition=partition, store=read)
        if read.state in {State.WHOLE, State.DIRTY}:
            return _judged(guest, disks, found)
        if read.state in {State.DAMAGED, State.UNREADABLE}:
            damaged = damaged or found
    return damaged


def edits(guest: WindowsGuest, disks: Sequence[Disk], windows: Partition | None, found: Found) -> tuple[BcdEdit, ...]:
    """Return the edits that the default entry needs: the right partition, and a display for UEFI."""
    entry, wanted = found.entry, list[BcdEdit]()
    if entry is None or found.store.state is not State.WHOLE:
        return ()
    if (
        windows is not None
        and leads_nowhere(disks, entry)
        and _is_of(guest, entry)
        and not _another(disks, windows, found)
    ):
        data = as_element(place_of(disk_of(disks, windows), windows))
        for element, device, what in (
            (DEVICE, entry.device, "the loader's partition"),
            (OS_DEVICE, entry.os_device, "Windows's partition"),
        ):
            if _is_lost(disks, device):
                why = f"it named {device.place if device else 'none'}, which no disk of the guest has"
                wanted.append(BcdEdit(entry.guid, element, data, f"{what} is {windows.device}", why))
    if guest.session.firmware is Firmware.UEFI and entry.graphics_disabled:
        what, why = "graphicsmodedisabled removed from the default entry", "the virtual display needs graphics mode"
        wanted.append(BcdEdit(entry.guid, GRAPHICS_DISABLED, None, what, why))
    return tuple(wanted)


def leads_nowhere(disks: Sequence[Disk], entry: Entry) -> bool:
    """Return whether an entry names a partition that no disk of the guest has."""
    return _is_lost(disks, entry.device) or _is_lost(disks, entry.os_device)


def _judged(guest: WindowsGuest, disks: Sequence[Disk], found: Found) -> Found:
    """Return what was found with what is wrong with it."""
    entry, store_ = found.entry, found.store
    if entry is None:
        return Found(partition=found.partition, store=store_, wrong="it has no default entry that starts a Windows")
    for device, what in ((entry.device, "the loader"), (entry.os_device, "Windows")):
        if device is not None and _is_lost(disks, device):
            wrong = f"its default entry looks for {what} on {device.place}, which no disk of the guest has"
            return Found(partition=found.partition, store=store_, wrong=wrong)
    loader = _resolve(guest, disks, found.partition, entry.device)
    if loader is None:
        return Found(partition=found.partition, store=store_, unknown=True)
    with opened(guest, loader.device) as place:
        if place is None:
            return Found(partition=found.partition, store=store_, loader=loader, unknown=True)
        path = entry.path.replace("\\", "/")
        there = path.startswith("/") and guest.files.is_file(f"{place}{path}")
    wrong = (
        ""
        if there
        else f"its default entry starts {visible(entry.path) or 'no loader'}, which is not on {loader.device}"
    )
    return Found(partition=found.partition, store=store_, loader=loader, wrong=wrong)


def _resolve(
    guest: WindowsGuest, disks: Sequence[Disk], start: Partition, device: BootDevice | None
) -> Partition | None:
    """Return the partition that a device element leads to; None if that is not known."""
    if device is None:
        return None
    if device.kind is DeviceKind.BOOT:
        return start
    return find(disks, device.place) if device.place is not None else None


def _is_lost(disks: Sequence[Disk], device: BootDevice | None) -> bool:
    return device is not None and device.place is not None and find(disks, device.place) is None


def _is_of(guest: WindowsGuest, entry: Entry) -> bool:
    """Return whether an entry starts the Windows that is converted: its loader and its directory are there."""
    directory, path = entry.system_root.replace("\\", "/"), entry.path.replace("\\", "/")
    same = directory.rstrip("/").lower() == guest.system.systemroot.rstrip("/").lower()
    return same and path.startswith("/") and guest.files.is_file(path)


def _another(disks: Sequence[Disk], windows: Partition, found: Found) -> bool:
    """Return whether another entry starts the Windows that is converted."""
    others = found.store.configuration.others if found.store.configuration is not None else ()
    places = (each.os_device.place for each in others if each.os_device is not None)
    return any(place is not None and find(disks, place) == windows for place in places)


def _path_on_partition(path: str) -> str:
    """Return the path below the partition, wherever it was mounted."""
    parts = path.split("/")
    start = next((i for i, part in enumerate(parts) if part.lower() in {"efi", "boot"}), 0)
    return "/" + "/".join(parts[start:])
