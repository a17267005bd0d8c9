# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks that Windows sees for the first time: whether it brings them online by itself.

On new controllers, all disks of the guest are new ones. Windows Server leaves those on a shared bus offline.
"""

from __future__ import annotations

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import dword

_ONLINE_ALL = 1


def change(guest: WindowsGuest) -> None:
    """Let Windows bring all disks online, if there are several. Windows XP and 2003 have no such policy."""
    if len(guest.session.request.disks) < 2 or not guest.system.at_least(6):
        return
    for control_set in guest.system.control_sets:
        guest.registry.set(
            HiveName.SYSTEM,
            f"{control_set}\\Services\\partmgr\\Parameters",
            "SanPolicy",
            dword(_ONLINE_ALL),
            why="the guest's other disks are on a new controller, and have to come online with their letters",
        )
