# SPDX-License-Identifier: GPL-2.0-or-later
"""The base block of a hive: whether Windows closed the hive properly, and whether it is whole.

hivex opens a hive whose last edits are only in its log files, and marks it as closed when it writes it: the edits would
be lost. So this is looked at before hivex sees the hive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum

#: Bytes of the base block, and of the unit in which a hive grows.
LENGTH = 4096

_CHECKSUM = 508
_FIELDS = struct.Struct("<4sII8xIIII II")


class State(StrEnum):
    """What the base block says about the hive."""

    CLEAN = "clean"
    #: Windows did not write its last edits into the hive.
    DIRTY = "dirty"
    DAMAGED = "damaged"


@dataclass(frozen=True)
class Header:
    """What the base block says. :param reason: in words; "" for a clean hive."""

    state: State
    reason: str = ""


def examine(start: bytes, size: int) -> Header:
    """Return what the beginning of a hive says about it.

    :param start: the first ``LENGTH`` bytes, or all of a shorter file. :param size: bytes of the file.
    """
    if len(start) < LENGTH or size < 2 * LENGTH:
        return Header(State.DAMAGED, f"it has only {size} bytes")
    magic, first, second, major, minor, kind, form, root, length = _FIELDS.unpack_from(start)
    broken = checksum(start) != int.from_bytes(start[_CHECKSUM : _CHECKSUM + 4], "little")
    # Windows writes the block with the first number, then the edits, then the block again.
    halfway = State.DIRTY if first != second else State.DAMAGED
    known = (major, kind, form) == (1, 0, 1) and 2 <= minor <= 6
    findings = (
        (magic != b"regf", State.DAMAGED, "it does not begin with regf"),
        (broken, halfway, "the checksum of its first block is wrong"),
        (not known, State.DAMAGED, f"it has the unknown version {major}.{minor} (type {kind}, format {form})"),
        (not length or length % LENGTH, State.DAMAGED, f"its length of {length} bytes is no multiple of {LENGTH}"),
        (LENGTH + length > size, State.DAMAGED, f"it is cut: it has {size} bytes in place of {LENGTH + length}"),
        (not 32 <= root < length or root % 8, State.DAMAGED, f"its root key is at {root}, which is nowhere in it"),
        (first != second, State.DIRTY, f"its sequence numbers are {first} and {second}"),
    )
    return next((Header(state, reason) for found, state, reason in findings if found), Header(State.CLEAN))


def checksum(start: bytes) -> int:
    """Return the checksum of a base block as Windows reckons it."""
    total = 0
    for word in struct.unpack_from(f"<{_CHECKSUM // 4}I", start):
        total ^= word
    return {0: 1, 0xFFFFFFFF: 0xFFFFFFFE}.get(total, total)
