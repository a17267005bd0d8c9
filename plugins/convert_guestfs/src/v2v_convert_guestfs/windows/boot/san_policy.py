# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that Windows sees for the first time: whether it brings them online by itself.

On new controllers, all disks of the guest are new ones. Windows Server leaves those on a shared bus offline.
"""

from __future__ import annotations

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import dword

_ONLINE_ALL = 1


_VALUE = "SanPolicy"


def is_needed(guest: WindowsGuest) -> bool:
    """Return whether Windows has to be told. Windows XP and 2003 have no such policy."""
    return len(guest.session.request.disks) > 1 and guest.system.at_least(6)


def is_set(guest: WindowsGuest) -> bool:
    """Return whether Windows brings all disks online, whichever control set starts."""
    keys = (guest.registry.key(HiveName.SYSTEM, _key(each)) for each in guest.system.control_sets)
    values = [key.value(_VALUE) if key is not None else None for key in keys]
    return all(value is not None and value.number == _ONLINE_ALL for value in values)


def change(guest: WindowsGuest) -> None:
    """Let Windows bring all disks online, if there are several."""
    for control_set in guest.system.control_sets if is_needed(guest) else ():
        guest.registry.set(
            HiveName.SYSTEM,
            _key(control_set),
            _VALUE,
            dword(_ONLINE_ALL),
            why="the guest's other disks are on a new controller, and have to come online with their letters",
        )


def _key(control_set: str) -> str:
    return f"{control_set}\\Services\\partmgr\\Parameters"
