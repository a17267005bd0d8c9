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
        return self is Kind.BASE or self is Kind.OVERLAY

    @property
    def of_the_base(self) -> bool:
        """Whether the source has it, whatever the conversion does."""
        return self is Kind.ZERO or self is Kind.BASE


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


#: Numbers that one list of a set holds before it is split in two: what an insertion moves at most.
_LONGEST = 8192


class Ranges:
    """A set of bytes of a disk, kept as sorted ranges that neither overlap nor touch: 16 bytes for each.

    The numbers are starts and ends in turn, in lists of limited length, so that ranges can be added in any order. Each
    list begins with a start and ends with an end: whether an offset is inside a range is whether the number of numbers
    before it is odd.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._lists: list[array[int]] = []
        #: The first number of each list.
        self._firsts: list[int] = []
        for offset, length in ranges:
            self.add(offset, length)

    def add(self, offset: int, length: int) -> None:
        """Add a range."""
        if length <= 0:
            return
        if self._lists and offset > self._lists[-1][-1] and len(self._lists[-1]) < _LONGEST:
            # most are added in order
            self._lists[-1].append(offset)
            self._lists[-1].append(offset + length)
            return
        self._change(offset, offset + length, inside=True)

    def remove(self, offset: int, length: int) -> None:
        """Remove a range."""
        if length > 0 and self._lists and self._firsts[0] < offset + length and offset < self._lists[-1][-1]:
            self._change(offset, offset + length, inside=False)

    def _change(self, start: int, end: int, *, inside: bool) -> None:
        """Make all bytes from ``start`` to ``end`` belong to the set, or none of them."""
        if not self._lists:
            if inside:
                self._put(0, 0, array("Q", (start, end)))
            return
        low, high = self._list_of(start), self._list_of(end)
        first, last = bisect_left(self._lists[low], start), bisect_right(self._lists[high], end)
        changed = self._lists[low][:first]
        # the start stays a number where it divides what is inside from what is outside
        if bool(first % 2) != inside:
            changed.append(start)
        if bool(last % 2) != inside:
            changed.append(end)
        changed.extend(self._lists[high][last:])
        self._put(low, high + 1, changed)

    def _list_of(self, offset: int) -> int:
        return max(0, bisect_right(self._firsts, offset) - 1)

    def _put(self, low: int, high: int, numbers: array[int]) -> None:
        """Put numbers in place of some lists."""
        # a list that grew at its end stays full: the next range will come behind it
        cut = len(numbers) // 4 * 2 if low < len(self._lists) - 1 else _LONGEST
        halves = [numbers] if len(numbers) <= _LONGEST else [numbers[:cut], numbers[cut:]]
        self._lists[low:high] = [half for half in halves if half]
        self._firsts[low:high] = [half[0] for half in halves if half]

    def missing(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a range that is not in the set, in order."""
        at, end = offset, offset + length
        for start, stop in self._from(offset):
            if start >= end:
                break
            if start > at:
                yield at, start - at
            at = stop
        if at < end:
            yield at, end - at

    def common(self, offset: int, length: int) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each part of a range that is in the set, in order."""
        if length <= 0:
            return
        end = offset + length
        for start, stop in self._from(offset):
            if start >= end:
                break
            yield max(offset, start), min(end, stop) - max(offset, start)

    def overlaps(self, offset: int, length: int) -> bool:
        """Return whether any byte of a range is in the set."""
        return next(self.common(offset, length), None) is not None

    def _from(self, offset: int) -> Iterator[tuple[int, int]]:
        """Yield start and end of each range that ends behind an offset."""
        if not self._lists:
            return
        number = self._list_of(offset)
        at = bisect_right(self._lists[number], offset) // 2 * 2
        while number < len(self._lists):
            numbers = self._lists[number]
            while at < len(numbers):
                yield numbers[at], numbers[at + 1]
                at += 2
            number, at = number + 1, 0

    def copy(self) -> Ranges:
        """Return an independent set of the same bytes."""
        other = Ranges()
        other._lists = [numbers[:] for numbers in self._lists]
        other._firsts = self._firsts[:]
        return other

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of each range, in order."""
        for numbers in self._lists:
            for at in range(0, len(numbers), 2):
                yield numbers[at], numbers[at + 1] - numbers[at]

    def __len__(self) -> int:
        """Return the number of ranges."""
        return sum(len(numbers) for numbers in self._lists) // 2

    def __bool__(self) -> bool:
        """Return whether there is any byte."""
        return bool(self._lists)

    @property
    def total(self) -> int:
        """The number of bytes."""
        return sum(sum(numbers[1::2]) - sum(numbers[::2]) for numbers in self._lists)
