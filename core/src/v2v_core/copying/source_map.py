# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of a source: its extents, asked for once and in pieces, as its server or its file system knows them.

Over NBD, ``base:allocation`` says which ranges read as zeros, and ``qemu:allocation-depth`` which ones the overlay
holds (the NBD protocol, doc/proto.md; qemu-nbd(8)).
"""

from __future__ import annotations

import itertools
import threading
from array import array
from collections.abc import Iterator
from functools import partial

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.job import Stopped, pause, reason_of
from v2v_core.copying.messages import Cause
from v2v_core.copying.nbd_end import ALLOCATION, LONGEST, ZERO, Lost, NbdEnd, answer_of
from v2v_core.copying.task import CopyTask
from v2v_core.errors import SourceError

_DEPTH = "qemu:allocation-depth"
#: The depth of what the top image holds itself.
_TOP = 1


class SourceMap:
    """The extents of a disk, in order, in little memory: 9 bytes for each."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._starts = array("Q")
        self._kinds = bytearray()
        #: Where the next extent begins.
        self.end = 0

    def append(self, length: int, kind: Kind) -> None:
        """Add the next extent, as far as it is inside the disk."""
        length = min(length, self.size - self.end)
        if length <= 0:
            return
        if not self._kinds or self._kinds[-1] != kind:
            self._starts.append(self.end)
            self._kinds.append(kind)
        self.end += length

    def __iter__(self) -> Iterator[Piece]:
        """Yield the extents from offset 0 to the end of the disk, without gaps; neighbours differ in kind."""
        for start, end, kind in self.extents():
            yield Piece(start, end - start, kind)

    def extents(self) -> Iterator[tuple[int, int, Kind]]:
        """Yield start, end and kind of each extent, as fast as possible."""
        kinds = tuple(Kind)
        ends = itertools.chain(itertools.islice(self._starts, 1, None), (self.end,))
        for start, end, kind in zip(self._starts, ends, self._kinds, strict=False):
            yield start, end, kinds[kind]

    def __len__(self) -> int:
        """Return the number of extents."""
        return len(self._kinds)


def read_map(task: CopyTask, stop: threading.Event | None = None) -> SourceMap:
    """Ask the source of a task for its extents.

    A source that does not say which ranges read as zeros has only data. One that does not say what its overlay holds
    may have changed anywhere, so all of it is taken for what the conversion has made.

    :param stop: is set when the process is asked to stop.
    :raises SourceError: it does not answer, however often it is asked.
    :raises Stopped: the process was asked to stop.
    """
    found = SourceMap(task.size)
    stop = stop or threading.Event()
    contexts = (ALLOCATION, _DEPTH) if task.source.overlay else (ALLOCATION,)
    end = NbdEnd(task.source.uri, Cause.SOURCE, task.limits, contexts=contexts, stop=stop)
    failures = 0
    try:
        while found.end < task.size:
            begin = found.end
            try:
                _ask(end, task, found)
            except (Lost, OSError) as err:
                # it may work on a new connection
                end.close()
                if failures >= task.limits.retries:
                    raise SourceError(
                        f"disk {task.index}: the source does not say which of its extents hold data, at byte {begin}: "
                        f"{reason_of(err)}",
                        hint="check that it runs and is reachable; the logs of the servers in1, in2 … and base1, "
                        "base2 … say what went wrong",
                    ) from err
                if stop.wait(pause(failures)):
                    raise Stopped from None
                failures += 1
            else:
                failures = 0
    finally:
        end.close()
    return found


def _ask(end: NbdEnd, task: CopyTask, found: SourceMap) -> None:
    """Ask what comes next, and add the answer.

    :raises Lost: the connection is lost, or the server does not answer. :raises OSError: the request failed.
    """
    if (size := end.size) < task.size:
        raise OSError(f"it has {size} bytes, and not {task.size}")
    begin, most = found.end, task.size - found.end
    knows_zeros, knows_depth = end.knows(ALLOCATION), task.source.overlay and end.knows(_DEPTH)
    if not knows_zeros and not knows_depth:
        found.append(most, Kind.OVERLAY)
        return
    answers: dict[str, list[int]] = {}
    answer_of(end, partial(end.extents, begin, min(LONGEST, most), answers))
    _append(
        found,
        answers.get(ALLOCATION, []) if knows_zeros else [most, 0],
        answers.get(_DEPTH, []) if knows_depth else None,
    )
    if found.end == begin:
        raise OSError("the server has answered with nothing")


def _append(found: SourceMap, zeros: list[int], depths: list[int] | None) -> None:
    """Add what a server has answered, as far as all its answers reach.

    :param zeros: lengths in turn with flags. :param depths: lengths in turn with depths; None if they are not known.
    """
    if depths is None:
        for length, flags in zip(zeros[::2], zeros[1::2], strict=True):
            found.append(length, Kind.OVERLAY_ZERO if flags & ZERO else Kind.OVERLAY)
        return
    flagged = zip(zeros[::2], zeros[1::2], strict=True)
    deep = zip(depths[::2], depths[1::2], strict=True)
    length = reach = flags = depth = 0
    while True:
        if not length:
            length, flags = next(flagged, (0, 0))
        if not reach:
            reach, depth = next(deep, (0, 0))
        step = min(length, reach)
        if not step:
            return
        if depth == _TOP:
            kind = Kind.OVERLAY_ZERO if flags & ZERO else Kind.OVERLAY
        else:
            kind = Kind.ZERO if flags & ZERO else Kind.BASE
        found.append(step, kind)
        length -= step
        reach -= step
