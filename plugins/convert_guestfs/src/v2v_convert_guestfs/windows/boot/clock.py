# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether Windows keeps the hardware clock in UTC or, as it does by default, in local time."""

from __future__ import annotations

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Type

_KEY, _NAME = r"Control\TimeZoneInformation", "RealTimeIsUniversal"


def is_utc(guest: WindowsGuest) -> bool:
    """Return whether Windows takes the hardware clock for UTC."""
    key = guest.registry.key(HiveName.SYSTEM, f"{guest.system.default}\\{_KEY}")
    value = key.value(_NAME) if key is not None else None
    if value is None or value.type == Type.NONE:
        return False
    if value.number is None or value.type == Type.DWORD_BIG_ENDIAN:
        guest.session.report.warning(
            f"{_KEY}\\{_NAME} in the guest's registry is {value}, neither a REG_DWORD nor a REG_QWORD: the guest "
            "gets a hardware clock in UTC"
        )
        return True
    return value.number == 1
