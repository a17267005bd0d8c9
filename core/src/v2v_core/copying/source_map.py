# SPDX-License-Identifier: GPL-2.0-or-later
"""The map of a source: its extents, asked for once and in pieces, as its server or its file system knows them.

Over NBD, ``base:allocation`` says which ranges read as zeros, and ``qemu:allocation-depth`` which ones the overlay
holds (the NBD protocol, doc/proto.md; qemu-nbd(8)).
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from array import array
from collections.abc import Iterator
from typing import Any

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.task import CopyTask
from v2v_core.errors import Interrupted, SourceError

#: Bytes that are asked about at once. Lengths in NBD have 32 bits, and some servers examine each block.
_ASK = 1024 * 1024 * 1024
#: Seconds that a connection may take, and the longest pause before another attempt.
_CONNECT, _PAUSE = 60.0, 15.0
#: Seconds between two looks at the clock.
_LOOK = 0.2
_ALLOCATION = "base:allocation"
_DEPTH = "qemu:allocation-depth"
#: The flag of an extent that reads as zeros (NBD_STATE_ZERO), whether or not it is a hole.
_ZERO = 2
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
    :raises Interrupted: the process was asked to stop.
    """
    found = SourceMap(task.size)
    stop = stop or threading.Event()
    attempt = 0
    while found.end < task.size:
        begin = found.end
        try:
            with contextlib.closing(_Connection(task, stop)) as connection:
                while found.end < task.size:
                    connection.ask(found)
        except _Failed as err:
            attempt = 1 if found.end > begin else attempt + 1
            if attempt > task.limits.retries:
                raise SourceError(
                    f"disk {task.index}: the source does not say which of its extents hold data, at byte {found.end}: "
                    f"{err}",
                    hint="check that it runs and is reachable; the logs of the servers in1, in2 … and base1, base2 … "
                    "say what went wrong",
                ) from err
            stop.wait(min(_PAUSE, 0.25 * 2**attempt))
    return found


class _Failed(Exception):
    """A request has failed. It may work on a new connection."""


class _Connection:
    """A connection to the source of a task.

    :raises _Failed: it cannot be made.
    """

    def __init__(self, task: CopyTask, stop: threading.Event) -> None:
        import nbd

        self._error = nbd.Error
        self._task = task
        self._stop = stop
        self._handle: Any = nbd.NBD()
        try:
            self._handle.add_meta_context(_ALLOCATION)
            if task.source.overlay:
                self._handle.add_meta_context(_DEPTH)
            # the file of a TLS key that the URI names is ours
            self._handle.set_uri_allow_local_file(True)
            self._handle.aio_connect_uri(task.source.uri)
            self._wait(self._handle.aio_is_connecting, _CONNECT, "no connection")
            if not self._handle.aio_is_ready():
                raise _Failed("the server has ended the connection")
            self._knows_zeros = bool(self._handle.can_meta_context(_ALLOCATION))
            self._knows_depth = task.source.overlay and bool(self._handle.can_meta_context(_DEPTH))
            if (size := int(self._handle.get_size())) < task.size:
                raise _Failed(f"it has {size} bytes, and not {task.size}")
        except self._error as err:
            raise _Failed(err.string) from err

    def ask(self, found: SourceMap) -> None:
        """Ask what comes next, and add the answer.

        :raises _Failed: the request failed, or was not answered in time.
        """
        most = self._task.size - found.end
        if not self._knows_zeros and not self._knows_depth:
            found.append(most, Kind.OVERLAY)
            return
        answers: dict[str, list[int]] = {}

        def take(context: str, _offset: int, words: list[int], _error: Any) -> None:
            answers[context] = words

        try:
            cookie = self._handle.aio_block_status(min(_ASK, most), found.end, take)
            self._wait(
                lambda: not self._handle.aio_command_completed(cookie), self._task.limits.request_seconds, "no answer"
            )
        except self._error as err:
            raise _Failed(err.string) from err
        begin = found.end
        _append(
            found,
            answers.get(_ALLOCATION, []) if self._knows_zeros else [most, 0],
            (answers.get(_DEPTH, []) if self._knows_depth else None),
        )
        if found.end == begin:
            raise _Failed("the server has answered with nothing")

    def _wait(self, unfinished: Any, seconds: float, lacking: str) -> None:
        """Wait until something is finished.

        :raises _Failed: it takes too long. :raises Interrupted: the process was asked to stop.
        """
        deadline = time.monotonic() + seconds
        while unfinished():
            if self._stop.is_set():
                raise Interrupted("the copy was stopped")
            if time.monotonic() > deadline:
                raise _Failed(f"{lacking} for {seconds:.0f} seconds")
            self._handle.poll(int(_LOOK * 1000))

    def close(self) -> None:
        """Close the connection."""
        # the server may hang: it is told, and not waited for
        with contextlib.suppress(self._error):
            if self._handle.aio_is_ready():
                self._handle.aio_disconnect(0)
        self._handle = None


def _append(found: SourceMap, zeros: list[int], depths: list[int] | None) -> None:
    """Add what a server has answered, as far as all its answers reach.

    :param zeros: lengths in turn with flags. :param depths: lengths in turn with depths; None if they are not known.
    """
    if depths is None:
        for length, flags in zip(zeros[::2], zeros[1::2], strict=True):
            found.append(length, Kind.OVERLAY_ZERO if flags & _ZERO else Kind.OVERLAY)
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
            kind = Kind.OVERLAY_ZERO if flags & _ZERO else Kind.OVERLAY
        else:
            kind = Kind.ZERO if flags & _ZERO else Kind.BASE
        found.append(step, kind)
        length -= step
        reach -= step
