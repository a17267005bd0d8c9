# SPDX-License-Identifier: GPL-2.0-or-later
"""The plan of a copy, made before the first byte moves: which pieces are to be copied or zeroed, and how many bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from v2v_core.copying.extents import Piece
from v2v_core.copying.journal import Journal
from v2v_core.copying.source_map import SourceMap
from v2v_core.copying.task import CopyTask


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

    def pieces(self, longest: int) -> Iterator[Piece]:
        """Yield the pieces to copy or to zero in the order of their offsets, data cut to at most ``longest`` bytes.

        Cuts are at multiples of ``longest``, which is a multiple of the block size of the hashes. Two extents of data
        in one block become one piece, with the zeros between them: so no block is shared by two pieces of data, and
        each piece can be hashed alone.
        """
        raise NotImplementedError


def make_plan(task: CopyTask, source: SourceMap, journal: Journal) -> CopyPlan:
    """Return what the pass of a task still has to do.

    The base pass copies the data of the base that is neither free nor in the journal. The whole pass adds what the
    overlay holds, data and zeros alike.
    """
    raise NotImplementedError
