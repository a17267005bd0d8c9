# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a copy, made before the first byte moves: which pieces are to be copied or zeroed, and how many bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.hashes import BLOCK
from v2v_core.copying.journal import Journal
from v2v_core.copying.source_map import SourceMap
from v2v_core.copying.task import CopyPass, CopyTask


class _Pieces:
    """Pieces in order, 17 bytes for each."""

    def __init__(self) -> None:
        self._offsets = array("Q")
        self._lengths = array("Q")
        self._kinds = bytearray()

    def push(self, offset: int, length: int, kind: Kind) -> None:
        """Add a piece behind all others.

        Data that lies in one block with the data before it becomes one piece with it, with what is between them.
        """
        if kind.is_data:
            last = self._last_data()
            if last is not None and (self._offsets[last] + self._lengths[last] - 1) // BLOCK == offset // BLOCK:
                del self._offsets[last + 1 :], self._lengths[last + 1 :], self._kinds[last + 1 :]
                self._lengths[last] = offset + length - self._offsets[last]
                if self._kinds[last] != kind:
                    # the converted disk has both, the base has not
                    self._kinds[last] = Kind.OVERLAY
                return
        self._offsets.append(offset)
        self._lengths.append(length)
        self._kinds.append(kind)

    def _last_data(self) -> int | None:
        # between two extents of data in one block is at most one piece of each kind of zeros
        for number in range(len(self._kinds) - 1, max(-1, len(self._kinds) - 4), -1):
            if self._kinds[number] in {Kind.BASE, Kind.OVERLAY}:
                return number
        return None

    def __iter__(self) -> Iterator[Piece]:
        kinds = tuple(Kind)
        for offset, length, kind in zip(self._offsets, self._lengths, self._kinds, strict=True):
            yield Piece(offset, length, kinds[kind])

    def total(self, *wanted: Kind) -> int:
        """Return the bytes of the pieces of some kinds."""
        return sum(length for length, kind in zip(self._lengths, self._kinds, strict=True) if kind in wanted)


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

        Cuts are at multiples of ``longest``, which is a multiple of the block size of the hashes. Two extents of data
        in one block become one piece, with the zeros between them: so no block is shared by two pieces of data, and
        each piece can be hashed alone.
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
    for piece in source:
        if task.copy_pass is CopyPass.BASE and piece.kind is not Kind.BASE:
            continue
        if piece.kind.is_data:
            done = journal.base if piece.kind is Kind.BASE else journal.overlay
            todo = list(_whole_blocks(piece, done.missing(piece.offset, piece.length)))
            earlier += piece.length - sum(length for _, length in todo)
        else:
            todo = list(_zeros(piece, journal, blank))
        for offset, length in todo:
            pieces.push(offset, length, piece.kind)
    return CopyPlan(
        data=pieces.total(Kind.BASE, Kind.OVERLAY),
        zeros=pieces.total(Kind.ZERO, Kind.OVERLAY_ZERO),
        earlier=earlier,
        overlay=pieces.total(Kind.OVERLAY),
        todo=pieces,
    )


def _whole_blocks(piece: Piece, missing: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is missing, with the rest of its blocks as far as the piece reaches: a block is hashed as a whole."""
    at = piece.offset
    for offset, length in missing:
        start = max(at, offset - offset % BLOCK)
        end = min(piece.end, -(-(offset + length) // BLOCK) * BLOCK)
        if start < end:
            yield start, end - start
            at = end


def _zeros(piece: Piece, journal: Journal, blank: bool) -> Iterator[tuple[int, int]]:
    """Yield what must be zeroed.

    :param blank: the destination read as zeros at first, and need not be written where the disk has zeros.
    """
    done = journal.base if piece.kind is Kind.ZERO else journal.overlay
    for offset, length in done.missing(piece.offset, piece.length):
        if not blank:
            yield offset, length
        elif piece.kind is Kind.ZERO:
            # only what a conversion has written that no longer counts
            yield from journal.tainted.common(offset, length)
        elif not journal.fresh:
            # an earlier pass may have copied what was there before
            yield offset, length
