# SPDX-License-Identifier: GPL-2.0-or-later
"""The journal of one disk: which ranges of the destination are written *and flushed*.

It only grows. Each line has a checksum, so that a journal that was cut at any byte, or whose last blocks were lost,
says less than was done, and never more. It is bound to the source, its version, its size, and the destination.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from v2v_core.copying.extents import Ranges
from v2v_core.copying.task import CopyTask


class Journal:
    """An open journal.

    :param base: ranges that hold, durably, what the base of the source has there.
    :param overlay: ranges that hold, durably, what the overlay of this conversion has there.
    """

    base: Ranges
    overlay: Ranges

    def wrote(self, base: Iterable[tuple[int, int]], overlay: Iterable[tuple[int, int]] = ()) -> None:
        """Write down, durably, what was written and flushed."""
        raise NotImplementedError

    def will_overwrite(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Write down, durably, that ranges are about to be overwritten: they hold the bytes of the base no longer."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError


def open_journal(task: CopyTask) -> Journal:
    """Open the journal of a disk, or begin one.

    A journal of another destination is begun anew: nothing in it is true of this one.

    :raises SourceError: the source has changed since; its blocks must not be mixed.
    """
    raise NotImplementedError


def read_journal(path: Path, task: CopyTask) -> Journal | None:
    """Return a journal for reading only; None if there is none for this source and destination."""
    raise NotImplementedError
