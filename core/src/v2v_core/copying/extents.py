# SPDX-License-Identifier: GPL-2.0-or-later
"""Extents of a disk: which ranges of bytes hold data, which read as zeros, and which the overlay holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What a range of the converted disk holds.

    ``ZERO`` and ``BASE`` come from the source as it is, ``OVERLAY`` and ``OVERLAY_ZERO`` from the conversion. What is
    read from a source without a base, or was served by another supervisor, is ``OVERLAY``, too: it is true for this
    conversion only.
    """

    ZERO = 0
    BASE = 1
    OVERLAY = 2
    OVERLAY_ZERO = 3


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of a disk, in bytes."""

    offset: int
    length: int
    kind: Kind

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.offset + self.length


class Ranges:
    """A set of bytes of a disk, kept as sorted ranges that neither overlap nor touch, in little memory."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        raise NotImplementedError

    def add(self, offset: int, length: int) -> None:
        """Add a range."""
        raise NotImplementedError

    def remove(self, offset: int, length: int) -> None:
        """Remove a range."""
        raise NotImplementedError

    def missing(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a range that is not in the set, in order."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each range, in order."""
        raise NotImplementedError

    @property
    def total(self) -> int:
        """The number of bytes."""
        raise NotImplementedError
