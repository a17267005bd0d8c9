# SPDX-License-Identifier: GPL-2.0-or-later
"""Read single facts from the guest's registry; what is missing or of another type is no fact."""

from __future__ import annotations

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import Value

WINDOWS = r"Microsoft\Windows\CurrentVersion"
WINDOWS_NT = r"Microsoft\Windows NT\CurrentVersion"


def software(guest: WindowsGuest, path: str) -> Key | None:
    """Return a key of the SOFTWARE hive, or None."""
    return guest.registry.key(HiveName.SOFTWARE, path)


def controls(guest: WindowsGuest, path: str) -> tuple[Key, ...]:
    """Return a key below each control set that can start, where it exists; that of the next start comes first."""
    keys = (guest.registry.key(HiveName.SYSTEM, rf"{name}\{path}") for name in guest.system.control_sets)
    return tuple(key for key in keys if key is not None)


def value(key: Key | None, name: str) -> Value | None:
    """Return a value of a key that may not exist."""
    return None if key is None else key.value(name)


def number(key: Key | None, name: str) -> int | None:
    """Return a number, or None."""
    found = value(key, name)
    return None if found is None else found.number


def text(key: Key | None, name: str) -> str:
    """Return a text, "" if there is none."""
    found = value(key, name)
    return (found.text if found is not None else None) or ""


def texts(key: Key | None, name: str) -> tuple[str, ...]:
    """Return the texts of a REG_MULTI_SZ, () if there is none."""
    found = value(key, name)
    return (found.texts if found is not None else None) or ()


def any_number(keys: tuple[Key, ...], name: str, *wanted: int) -> bool:
    """Return whether a value of one of the keys is one of the wanted numbers."""
    return any(number(key, name) in wanted for key in keys)
