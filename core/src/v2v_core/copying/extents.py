# SPDX-License-Identifier: GPL-2.0-or-later
"""Extents of a disk: which ranges of bytes hold data, which read as zeros, and which the overlay holds."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum


class Kind(IntEnum):
    """What a range of the converted disk holds.

    ``ZERO`` and ``BASE`` come from the source as it is, ``OVERLAY`` and ``OVERLAY_ZERO`` from the conversion. What is
    read from a source without a base, or was served by another supervisor, is ``OVERLAY`` or ``OVERLAY_ZERO``, too: it
    is true for this conversion only.
    """

    ZERO = 0
    BASE = 1
    OVERLAY = 2
    OVERLAY_ZERO = 3

    @property
    def is_data(self) -> bool:
        """Whether the range is read and written; zeros are not read."""
        return self in {Kind.BASE, Kind.OVERLAY}

    @property
    def of_the_base(self) -> bool:
        """Whether the source has it, whatever the conversion does."""
        return self in {Kind.ZERO, Kind.BASE}


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
    """A set of bytes of a disk, kept as sorted ranges that neither overlap nor touch: 16 bytes for each."""

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        for offset, length in ranges:
            self.add(offset, length)

    def add(self, offset: int, length: int) -> None:
        """Add a range. It is fast if ranges are added in order."""
        starts, ends, end = self._starts, self._ends, offset + length
        if length <= 0:
            return
        if not starts or offset > ends[-1]:
            starts.append(offset)
            ends.append(end)
            return
        # those that overlap or touch the range become one with it
        first, last = bisect_left(ends, offset), bisect_right(starts, end)
        if first < last:
            offset, end = min(offset, starts[first]), max(end, ends[last - 1])
        starts[first:last] = array("Q", (offset,))
        ends[first:last] = array("Q", (end,))

    def remove(self, offset: int, length: int) -> None:
        """Remove a range."""
        starts, ends, end = self._starts, self._ends, offset + length
        if length <= 0:
            return
        first, last = bisect_right(ends, offset), bisect_left(starts, end)
        if first >= last:
            return
        left, right = starts[first], ends[last - 1]
        kept = [(left, offset)] if left < offset else []
        if end < right:
            kept.append((end, right))
        starts[first:last] = array("Q", [start for start, _ in kept])
        ends[first:last] = array("Q", [stop for _, stop in kept])

    def missing(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a range that is not in the set, in order."""
        at, end = offset, offset + length
        for number in range(bisect_right(self._ends, offset), len(self._starts)):
            start = self._starts[number]
            if start >= end:
                break
            if start > at:
                yield at, start - at
            at = self._ends[number]
        if at < end:
            yield at, end - at

    def common(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a range that is in the set, in order."""
        end = offset + length
        for number in range(bisect_right(self._ends, offset), len(self._starts)):
            start = max(offset, self._starts[number])
            if start >= end:
                break
            yield start, min(end, self._ends[number]) - start

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each range, in order."""
        for start, end in zip(self._starts, self._ends, strict=True):
            yield start, end - start

    def __len__(self) -> int:
        """Return the number of ranges."""
        return len(self._starts)

    @property
    def total(self) -> int:
        """The number of bytes."""
        return sum(self._ends) - sum(self._starts)
