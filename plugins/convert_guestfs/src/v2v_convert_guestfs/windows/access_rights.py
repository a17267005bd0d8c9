# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a security descriptor of Windows: who may change a file ([MS-DTYP] 2.4)."""

from __future__ import annotations

import struct

#: Who may write whatever runs as the system: the system, administrators, the installer of Windows, and whoever creates
#: a file (who must be one of the others to do so).
_TRUSTED = {
    "S-1-5-18",
    "S-1-5-32-544",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "S-1-3-0",
}
#: Write or append data, write extended attributes, delete below, delete, change rights, take ownership; generic write
#: and all.
_WRITING = 0x2 | 0x4 | 0x10 | 0x40 | 0x10000 | 0x40000 | 0x80000 | 0x40000000 | 0x10000000
_ALLOWED = 0
_OWNER_AND_LIST = struct.Struct("<BBHIIII")
_ENTRY = struct.Struct("<BBHI")
_HAS_LIST = 0x0004


def other_writers(descriptor: bytes) -> list[str]:
    """Return the identifiers of those other than administrators and the system who may change a file.

    A descriptor that is damaged, or has no list of rights, lets everyone do anything.
    """
    try:
        _, _, control, owner, _, _, start = _OWNER_AND_LIST.unpack_from(descriptor)
        found = [_identifier(descriptor, owner)] if owner else []
        if not control & _HAS_LIST or not start:
            return ["everyone"]
        count = int.from_bytes(descriptor[start + 4 : start + 6], "little")
        place = start + 8
        for _ in range(count):
            kind, _flags, length, mask = _ENTRY.unpack_from(descriptor, place)
            if kind == _ALLOWED and mask & _WRITING:
                found.append(_identifier(descriptor, place + _ENTRY.size))
            elif kind not in {0, 1}:
                found.append(f"an entry of the type {kind}")
            if length < _ENTRY.size:
                return ["everyone"]
            place += length
    except (struct.error, IndexError):
        return ["everyone"]
    return [who for who in dict.fromkeys(found) if who not in _TRUSTED]


def _identifier(descriptor: bytes, place: int) -> str:
    revision, count = descriptor[place], descriptor[place + 1]
    authority = int.from_bytes(descriptor[place + 2 : place + 8], "big")
    parts = struct.unpack_from(f"<{count}I", descriptor, place + 8)
    return "-".join(["S", str(revision), str(authority), *map(str, parts)])
