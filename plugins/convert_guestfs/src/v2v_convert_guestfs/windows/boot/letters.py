# SPDX-License-Identifier: GPL-2.0-or-later
r"""Drive letters: Windows remembers for each the partition that has it (``SYSTEM\MountedDevices``).

The partitions are named by what is on the disks, so the letters stay when the disks are copied.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.windows.boot.disks import disk_of
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.places import Place, as_volume, find, of_volume, place_of
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import binary

KEY = "MountedDevices"
_LETTER = re.compile(r"\\DosDevices\\([A-Z]):", re.IGNORECASE)
_VERSION = r"Microsoft\Windows NT\CurrentVersion"


@dataclass(frozen=True, kw_only=True)
class Letters:
    """The drive letters of partitions.

    :param devices: pairs of a letter (``C``) and a device, as in the inspection.
    :param lost: letters of partitions that no disk of the guest has, with their names for messages.
    :param system: the letter that Windows has for itself; None if it does not say.
    :param repaired: the partition that gets the letter of the system back; None if it has it.
    """

    devices: tuple[tuple[str, str], ...] = ()
    lost: tuple[tuple[str, str], ...] = ()
    system: str | None = None
    repaired: Place | None = None


def look(guest: WindowsGuest, disks: Sequence[Disk], windows: Partition | None) -> Letters:
    """Return what the drive letters of the guest mean on its disks. CD-ROMs and USB sticks are left out."""
    key = guest.registry.key(HiveName.SYSTEM, KEY)
    places: dict[str, Place] = {}
    for name, value in (key.values() if key is not None else {}).items():
        match, place = _LETTER.fullmatch(name), of_volume(value.data)
        if match and place is not None:
            places[match[1].upper()] = place
    found = {letter: find(disks, place) for letter, place in sorted(places.items())}
    devices = {letter: partition.device for letter, partition in found.items() if partition is not None}
    dynamic = any(disk.dynamic for disk in disks)
    # A volume of dynamic disks has a GUID that is in their database only.
    lost = {
        letter: places[letter] for letter in found if letter not in devices and not (dynamic and places[letter].guid)
    }
    system = _system_letter(guest)
    repaired = None
    if windows is not None and system is not None and system in lost and windows.device not in devices.values():
        # Without its letter, Windows takes another one, and no user can log on.
        repaired = place_of(disk_of(disks, windows), windows)
        lost.pop(system)
        devices[system] = windows.device
    return Letters(
        devices=tuple(sorted(devices.items())),
        lost=tuple((letter, str(place)) for letter, place in lost.items()),
        system=system,
        repaired=repaired,
    )


def warn(guest: WindowsGuest, letters: Letters, windows: Partition | None) -> None:
    """Warn of letters without a partition."""
    if letters.lost:
        listed = ", ".join(f"{letter}: ({name})" for letter, name in letters.lost)
        guest.session.report.warning(
            f"the guest has drive letters of partitions that are on none of the given disks: {listed}. If the guest "
            "still had them, give their disks as well"
        )
    if letters.repaired is not None:
        guest.session.report.warning(
            f"the drive letter {letters.system}: of Windows named a partition that no disk has; it is given to "
            f"{windows.device if windows is not None else 'Windows'}"
        )


def change(guest: WindowsGuest, letters: Letters) -> None:
    """Give the system its letter back."""
    if letters.repaired is not None:
        guest.registry.set(
            HiveName.SYSTEM,
            KEY,
            f"\\DosDevices\\{letters.system}:",
            binary(as_volume(letters.repaired)),
            why="Windows finds its own partition by this letter",
        )


def _system_letter(guest: WindowsGuest) -> str | None:
    key = guest.registry.key(HiveName.SOFTWARE, _VERSION)
    value = key.value("SystemRoot") if key is not None else None
    match = re.match(r"([A-Za-z]):", value.text or "") if value is not None else None
    return match[1].upper() if match else None
