# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a copy, made before the first byte moves: which pieces are to be copied or zeroed, and how many bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from v2v_core.copying.extents import Kind, Piece, Ranges
from v2v_core.copying.hashes import BLOCK
from v2v_core.copying.journal import Journal
from v2v_core.copying.source_map import SourceMap
from v2v_core.copying.task import CopyPass, CopyTask


class _Pieces:
    """Pieces in order, 17 bytes for each."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")
        self._kinds = bytearray()

    def push(self, start: int, end: int, kind: Kind) -> None:
        """Add a piece behind all others."""
        if self._kinds and self._ends[-1] == start and self._kinds[-1] == kind:
            self._ends[-1] = end
            return
        self._starts.append(start)
        self._ends.append(end)
        self._kinds.append(kind)

    def __iter__(self) -> Iterator[Piece]:
        kinds = tuple(Kind)
        for start, end, kind in zip(self._starts, self._ends, self._kinds, strict=True):
            yield Piece(start, end - start, kinds[kind])

    def total(self, *wanted: Kind) -> int:
        """Return the bytes of the pieces of some kinds."""
        every = zip(self._starts, self._ends, self._kinds, strict=True)
        return sum(end - start for start, end, kind in every if kind in wanted)


@dataclass(frozen=True, kw_only=True)
class CopyPlan:
    """What is to be done for one disk.

    :param data: bytes that will be read and written. :param zeros: bytes that will be zeroed at the destination.
    :param earlier: bytes of data that an earlier process has copied already.
    :param overlay: bytes of ``data`` that come from the overlay.
    """

    data: int
    zeros: int
    earlier: int
    overlay: int
    todo: Iterable[Piece] = field(repr=False)

    def pieces(self, longest: int) -> Iterator[Piece]:
        """Yield the pieces to copy or to zero in the order of their offsets, data cut to at most ``longest`` bytes.

        Cuts are at multiples of ``longest``, which is a multiple of the block size of the hashes. No two pieces share
        a block, so each can be hashed alone. Data that begins or ends inside a block is alone there: the rest of the
        block reads as zeros. Once they are written and flushed, ``BASE`` and ``ZERO`` belong into ``Journal.base``,
        the others into ``Journal.overlay``.
        """
        for piece in self.todo:
            if not piece.kind.is_data:
                yield piece
                continue
            at = piece.offset
            while at < piece.end:
                stop = min(piece.end, at - at % longest + longest)
                yield Piece(at, stop - at, piece.kind)
                at = stop

    def overwritten(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges that will hold what the conversion has made of them, in order."""
        for piece in self.todo:
            if not piece.kind.of_the_base:
                yield piece.offset, piece.length


def make_plan(task: CopyTask, source: SourceMap, journal: Journal) -> CopyPlan:
    """Return what the pass of a task still has to do.

    The base pass copies the data of the base that is neither free nor in the journal. The whole pass adds what the
    overlay holds, data and zeros alike.
    """
    pieces, earlier = _Pieces(), 0
    blank = task.destination.zeroed and task.destination.allocation != "preallocated"
    only_base = task.copy_pass is CopyPass.BASE
    base, overlay = journal.base, journal.overlay
    if journal.unhashed and (task.verify or task.hashing):
        # what has no hashes cannot be compared
        base, overlay = _without(base, journal.unhashed), _without(overlay, journal.unhashed)
    for start, end, kind in _runs(source, task.size):
        if only_base and kind is not Kind.BASE:
            continue
        if kind is Kind.ZERO and blank and not journal.tainted:
            # most of a sparse disk
            continue
        if not kind.is_data:
            for first, last in _blocks(start, end, _zeros(start, end, kind, journal, blank)):
                pieces.push(first, last, kind)
            continue
        done = base if kind is Kind.BASE else overlay
        left = end - start
        for first, last in _blocks(start, end, done.missing(start, left)):
            left -= last - first
            pieces.push(*_with_zeros(first, last, kind, task.size, journal, blank), kind)
        earlier += left
    return CopyPlan(
        data=pieces.total(Kind.BASE, Kind.OVERLAY),
        zeros=pieces.total(Kind.ZERO, Kind.OVERLAY_ZERO),
        earlier=earlier,
        overlay=pieces.total(Kind.OVERLAY),
        todo=pieces,
    )


def _without(ranges: Ranges, others: Ranges) -> Ranges:
    left = ranges.copy()
    for offset, length in others:
        left.remove(offset, length)
    return left


def _runs(source: SourceMap, size: int) -> Iterator[tuple[int, int, Kind]]:
    """Yield start, end and kind of what is in the blocks of a disk, so that no two of them share a block.

    Where several extents share a block, there is only one run in it:

    * zeros, those of the overlay if any of them are;
    * data with the zeros between it, from its first byte to its last. It is of the base only if the whole block is.
    """
    shared = 0  # where the block starts that the next extents share
    first = last = 0
    kinds: set[Kind] = set()
    for at, end, kind in source.extents():
        start = at
        if start % BLOCK:
            stop = min(end, shared + BLOCK)
            if kind.is_data:
                first, last = (first if last else start), stop
            kinds.add(kind)
            if stop % BLOCK and stop < size:
                continue
            yield _shared(shared, stop, first, last, kinds)
            start = stop
        whole = end if end == size else end - end % BLOCK
        if start < whole:
            yield start, whole, kind
        if whole < end:
            shared, kinds = whole, {kind}
            first, last = (whole, end) if kind.is_data else (0, 0)


def _shared(start: int, end: int, first: int, last: int, kinds: set[Kind]) -> tuple[int, int, Kind]:
    """Return the run of a block that several extents share.

    :param first: where its data begins, and ``last``, where it ends; 0 if there is none.
    """
    if not last:
        return start, end, Kind.OVERLAY_ZERO if Kind.OVERLAY_ZERO in kinds else Kind.ZERO
    return first, last, Kind.BASE if kinds <= {Kind.BASE, Kind.ZERO} else Kind.OVERLAY


def _blocks(start: int, end: int, missing: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield start and end of what is missing of a run, with the rest of its blocks: a block is hashed as a whole."""
    at = start
    for offset, length in missing:
        first = max(at, offset - offset % BLOCK)
        at = max(at, min(end, -(-(offset + length) // BLOCK) * BLOCK))
        if first < at:
            yield first, at


def _with_zeros(start: int, end: int, kind: Kind, size: int, journal: Journal, blank: bool) -> tuple[int, int]:
    """Return start and end of data, with the zeros of its first and last block if the destination may lack them."""
    low, high = start - start % BLOCK, min(size, -(-end // BLOCK) * BLOCK)
    if (low, high) == (start, end):
        return start, end
    if not blank or (kind is Kind.OVERLAY and not journal.fresh):
        return low, high
    return (
        low if journal.may_hold_anything(low, start - low) else start,
        high if journal.may_hold_anything(end, high - end) else end,
    )


def _zeros(start: int, end: int, kind: Kind, journal: Journal, blank: bool) -> Iterator[tuple[int, int]]:
    """Yield offset and length of zeros that the destination may lack.

    :param blank: the destination read as zeros at first, and need not be written where the disk has zeros.
    """
    if kind is Kind.ZERO:
        missing = journal.tainted.common if blank else journal.base.missing
        yield from missing(start, end - start)
    elif not blank or not journal.fresh:
        # an earlier process may have copied what the source has there
        yield from journal.overlay.missing(start, end - start)
