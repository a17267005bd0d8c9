# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of a source: its extents, asked for once and in pieces, as its server or its file system knows them.

Over NBD, ``base:allocation`` says which ranges read as zeros, and ``qemu:allocation-depth`` which ones the overlay
holds (the NBD protocol, doc/proto.md; qemu-nbd(8)).
"""

from __future__ import annotations

from collections.abc import Iterator

from v2v_core.copying.extents import Piece
from v2v_core.copying.task import CopyTask


class SourceMap:
    """The extents of a disk, in order, in little memory."""

    def __iter__(self) -> Iterator[Piece]:
        """Yield the extents from offset 0 to the end of the disk, without gaps; neighbours differ in kind."""
        raise NotImplementedError


def read_map(task: CopyTask) -> SourceMap:
    """Ask the source of a task for its extents.

    :raises SourceError: it does not answer.
    """
    raise NotImplementedError
