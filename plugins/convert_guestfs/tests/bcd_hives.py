# SPDX-License-Identifier: GPL-2.0-or-later
"""Boot configurations of our own making, as real hives."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from boot_guest import make_hive
from v2v_convert_guestfs.windows.boot.places import Place, as_element
from v2v_convert_guestfs.windows.registry.values import Value, binary, dword, multi_sz, sz

MANAGER = "{9dea862c-5cdd-4e70-acc1-f32b344d4795}"
DEFAULT = "{11111111-2222-3333-4444-555555555555}"
OTHER = "{99999999-2222-3333-4444-555555555555}"
#: A device element that means the partition of the boot manager.
BOOT = bytes(16) + (5).to_bytes(4, "little") + bytes(4) + (72).to_bytes(4, "little") + bytes(60)
ON = b"\x01"

SIGNATURE = 0x5CBEA03E
DISK, ESP, DATA = (uuid.UUID(int=number << 64 | 0x4000) for number in (1, 2, 3))
#: Where Windows is: on a disk with an MBR at the sector 2048, or at 206848 behind the system partition, or in a GPT.
MBR_ONE = Place(signature=SIGNATURE, offset=2048 * 512)
MBR_TWO = Place(signature=SIGNATURE, offset=206848 * 512)
GPT_TWO = Place(guid=DATA, disk_guid=DISK)


def entry(place: Place | None, *, path: str = r"\Windows\system32\winload.exe", **more: Any) -> dict[str, Any]:
    """Return an entry that starts Windows from a partition; ``more`` are elements by ``e`` and their number."""
    device = binary(as_element(place)) if place is not None else binary(BOOT)
    elements = {
        "11000001": device,
        "12000002": sz(path),
        "12000004": sz("Windows"),
        "21000001": device,
        "22000002": sz(r"\Windows"),
    }
    elements |= {name[1:]: value if isinstance(value, Value) else binary(value) for name, value in more.items()}
    return _object(0x10200003, elements)


def store(
    place: Path, default: dict[str, Any] | None, *, manager: dict[str, Value] | None = None, **others: Any
) -> bytes:
    """Return a boot configuration with a default entry."""
    elements = {"23000003": sz(DEFAULT), "24000001": multi_sz(DEFAULT, *(OTHER for _ in others))}
    objects = {MANAGER: _object(0x10100002, {**elements, **(manager or {})})}
    if default is not None:
        objects[DEFAULT] = default
    objects |= dict.fromkeys([OTHER] if others else [], next(iter(others.values()), {}))
    return make_hive(place, {"Description": {"KeyName": sz("BCD00000000")}, "Objects": objects})


def inheriting(place: Path, base: dict[str, Value]) -> bytes:
    """Return a boot configuration whose default entry has some elements from another object."""
    default = entry(MBR_ONE, e14000006=multi_sz(OTHER))
    return store(place, default, settings=_object(0x20200003, base))


def _object(kind: int, elements: dict[str, Value]) -> dict[str, Any]:
    return {
        "Description": {"Type": dword(kind)},
        "Elements": {number: {"Element": value} for number, value in elements.items()},
    }
