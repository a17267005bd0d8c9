# SPDX-License-Identifier: GPL-2.0-or-later
"""Moves pieces between NBD servers and local files: one thread, one connection to each server, many requests in flight.

Reads and writes of local files are done at once, by the same thread. So a copy between a file and a server, in either
direction, has one program less in its way than one between two servers.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.file_end import FileEnd
from v2v_core.copying.hashes import BLOCK
from v2v_core.copying.job import CopyFailed, Job, not_flushed, pause
from v2v_core.copying.messages import Cause
from v2v_core.copying.nbd_end import Done, Lost, NbdEnd, pump, zero_steps
from v2v_core.space import means_no_room

#: Is called with why a flush has failed, or with None.
FlushAnswer = Callable[[CopyFailed | None], None]

#: Pieces that one thread has in flight.
DEPTH = 8
_ZERO_BLOCK = bytes(BLOCK)


@dataclass
class _Moving:
    """A piece in flight.

    :param left: requests of it that are not answered. :param failed: the first error.
    :param waits_for: the connection with its requests.
    """

    piece: Piece
    failures: int
    buffer: memoryview | None = None
    left: int = 0
    failed: CopyFailed | None = None
    waits_for: object = None


class Mover:
    """Moves pieces in one thread.

    :param base: where pieces of the base are read. :param now: where all others are read.
    :param destination: where pieces are written.
    :param depth: how many pieces are in flight.
    """

    def __init__(
        self, job: Job, base: NbdEnd | FileEnd, now: NbdEnd, destination: NbdEnd | FileEnd, *, depth: int = DEPTH
    ) -> None:
        self._job = job
        self._base, self._now, self._destination = base, now, destination
        self._moving: dict[int, _Moving] = {}
        self._buffers = [memoryview(bytearray(job.longest)) for _ in range(depth)]
        self._flush_wanted: deque[FlushAnswer] = deque()
        self._flushes: list[FlushAnswer] = []
        self._losses = 0
        self._leave = threading.Event()
        self._ended = threading.Event()
        self._not_before = 0.0

    def run(self) -> None:
        """Move pieces until there are no more, or the copy is to end. Failures end up in the job."""
        try:
            while True:
                more = self._take_up()
                self._send_flush()
                if self._moving or self._busy():
                    self._wait(0 if more else 0.2)
                elif self._over():
                    return
                elif not more:
                    time.sleep(0.01)
        except CopyFailed as err:
            self._job.fail(err)
        except Exception as err:
            self._job.fail(CopyFailed(f"{type(err).__name__}: {err}", Cause.OTHER))
            raise
        finally:
            self._ended.set()
            for end in self._ends():
                end.close()
            for moving in self._moving.values():
                self._job.put_back(moving.piece)
            self._moving.clear()

    def _over(self) -> bool:
        """Return whether nothing is left to do: neither pieces nor, until ``leave`` is called, a flush."""
        return (self._leave.is_set() or self._failed_for_good()) and not self._flush_wanted

    def _failed_for_good(self) -> bool:
        failure = self._job.failure
        # what was written before the source failed, or the destination was full, is still flushed
        return failure is not None and failure.cause not in {Cause.FULL, Cause.SOURCE}

    def leave(self) -> None:
        """Let the thread end when it has nothing in flight."""
        self._leave.set()

    def flush(self) -> CopyFailed | None:
        """Flush the destination on behalf of another thread, and return why that failed, or None."""
        answered: SimpleQueue[CopyFailed | None] = SimpleQueue()
        self._flush_wanted.append(answered.put)
        while True:
            try:
                return answered.get(timeout=0.2)
            except Empty:
                if self._ended.is_set() and answered.empty():
                    return not_flushed("the copy was ended")

    def _busy(self) -> bool:
        return any(end.busy for end in self._ends())

    def _ends(self) -> Iterator[NbdEnd]:
        seen = set()
        for end in (self._base, self._now, self._destination):
            if isinstance(end, NbdEnd) and id(end) not in seen:
                seen.add(id(end))
                yield end

    def _take_up(self) -> bool:
        """Begin to move pieces as long as there are buffers; return whether there may be more to begin with.

        A piece that is read from a file is read and hashed here. So it is the only one until the servers have their
        turn.
        """
        while self._buffers and time.monotonic() >= self._not_before:
            taken = self._job.next_piece()
            if taken is None:
                return False
            moving = _Moving(*taken)
            self._moving[id(moving)] = moving
            try:
                if moving.piece.kind.is_data:
                    self._read(moving)
                else:
                    self._zero(moving)
            except Lost as err:
                self._lost(err)
            if isinstance(self._base, FileEnd):
                return bool(self._buffers)
        return False

    def _read(self, moving: _Moving) -> None:
        piece = moving.piece
        self._job.bandwidth.wait_for(piece.length)
        moving.buffer = self._buffers.pop()
        source = self._base if piece.kind is Kind.BASE else self._now
        moving.waits_for = source
        target = moving.buffer[: piece.length]
        if isinstance(source, FileEnd):
            try:
                source.read(piece.offset, target)
            except OSError as err:
                self._read_failed(moving, err.strerror or str(err))
            else:
                self._write(moving)
            return

        def done(error: str | None, _number: int) -> None:
            if error is None:
                self._write(moving)
            else:
                self._read_failed(moving, error)

        source.read(piece.offset, target, done)

    def _read_failed(self, moving: _Moving, reason: str) -> None:
        at = moving.piece.offset
        moving.failed = CopyFailed(f"the source cannot be read at byte {at}: {reason}", Cause.SOURCE, offset=at)
        self._finish(moving)

    def _write(self, moving: _Moving) -> None:
        """Hash and write what was read; zeros in it are written as zeros."""
        piece, job = moving.piece, self._job
        if moving.buffer is None:
            raise TypeError("a piece of data has a buffer")
        moving.waits_for = self._destination
        data = moving.buffer[: piece.length]
        job.check_fence()
        if job.hashes is not None:
            job.hashes.take(piece.offset, data)
        # one more than there is, so that answers which come at once do not finish the piece
        moving.left = 1
        for start, end, zero in runs(piece.offset, data) if job.sparse else [(0, piece.length, False)]:
            if not zero:
                self._request(moving, piece.offset + start, end - start, data[start:end])
            elif not job.skip_zeros:
                self._request(moving, piece.offset + start, end - start, None)
        self._answered(moving, None, 0)

    def _zero(self, moving: _Moving) -> None:
        moving.buffer = self._buffers.pop()
        moving.waits_for = self._destination
        if self._job.hashes is not None:
            self._job.hashes.zero(moving.piece.offset, moving.piece.length)
        moving.left = 1
        for offset, length in zero_steps(moving.piece.offset, moving.piece.length):
            self._request(moving, offset, length, None)
        self._answered(moving, None, 0)

    def _request(self, moving: _Moving, offset: int, length: int, data: memoryview | None) -> None:
        """Write data, or zeros, to the destination."""
        moving.left += 1
        destination, allocate = self._destination, self._job.task.destination.allocation == "preallocated"
        if isinstance(destination, FileEnd):
            try:
                if data is None:
                    destination.zero(offset, length, allocate=allocate)
                else:
                    destination.write(offset, data)
            except OSError as err:
                self._answered(moving, err.strerror or str(err), err.errno or 5)
            else:
                self._answered(moving, None, 0)
            return

        def done(error: str | None, number: int) -> None:
            self._answered(moving, error, number)

        if data is not None:
            destination.write(offset, data, done)
        elif destination.zeroes:
            destination.zero(offset, length, done, allocate=allocate)
        else:
            self._write_zeros(moving, destination, offset, length, done)

    def _write_zeros(self, moving: _Moving, destination: NbdEnd, offset: int, length: int, done: Done) -> None:
        """Send zeros to a server that knows no other way."""
        zeros = memoryview(_LARGE_ZERO)
        moving.left -= 1
        for at in range(offset, offset + length, len(zeros)):
            moving.left += 1
            destination.write(at, zeros[: min(len(zeros), offset + length - at)], done)

    def _answered(self, moving: _Moving, error: str | None, number: int) -> None:
        moving.left -= 1
        if error is not None and moving.failed is None:
            at = moving.piece.offset
            cause = Cause.FULL if means_no_room(number) else Cause.DESTINATION
            moving.failed = CopyFailed(f"the destination cannot be written at byte {at}: {error}", cause, offset=at)
        if not moving.left:
            self._finish(moving)

    def _finish(self, moving: _Moving) -> None:
        if self._moving.pop(id(moving), None) is None:
            # its connection was lost, and it is tried again already
            return
        if moving.buffer is not None:
            self._buffers.append(moving.buffer)
        if moving.failed is None:
            self._losses = 0
            self._job.moved(moving.piece)
        elif moving.failed.cause is Cause.FULL:
            self._job.put_back(moving.piece)
            self._job.fail(moving.failed)
        else:
            self._job.repeat(moving.piece, moving.failures, moving.failed)

    def _send_flush(self) -> None:
        while self._flush_wanted:
            answer = self._flush_wanted.popleft()
            if isinstance(self._destination, FileEnd):
                raise TypeError("a file is flushed by who wants it flushed")
            self._flushes.append(answer)
            try:
                self._destination.flush(partial(self._flushed, answer))
            except Lost as err:
                self._lost(err)

    def _flushed(self, answer: FlushAnswer, error: str | None, number: int) -> None:
        if answer in self._flushes:
            self._flushes.remove(answer)
            answer(None if error is None else not_flushed(error, number))

    def _wait(self, seconds: float) -> None:
        """Wait until a server answers, and take the answers."""
        try:
            # what was asked for before the process was frozen is sent only if it may still write
            pump(self._ends(), seconds=seconds, allowed=self._job.check_fence)
        except Lost as err:
            self._lost(err)

    def _lost(self, err: Lost) -> None:
        """Move what was in flight on a lost connection again, on a new one.

        What the destination has not flushed may be lost with it, and is written again.
        """
        err.end.close()
        for moving in [one for one in self._moving.values() if one.waits_for is err.end]:
            del self._moving[id(moving)]
            # libnbd may still use the old buffer
            self._buffers.append(memoryview(bytearray(self._job.longest)))
            self._job.put_back(moving.piece)
        if err.end is self._destination:
            for answer in self._flushes:
                answer(not_flushed(err.reason))
            self._flushes.clear()
            self._job.lost()
        what = "source" if err.end.cause is Cause.SOURCE else "destination"
        if time.monotonic() < self._not_before:
            # a request that was answered by the other end in the pause after the same loss is no attempt of its own
            return
        self._losses += 1
        if self._losses > self._job.task.limits.retries:
            self._job.fail(CopyFailed(f"the connection to the {what} is lost: {err.reason}", err.end.cause))
        else:
            self._job.on_retry(f"the connection to the {what} is lost: {err.reason}; it is opened again")
            self._not_before = time.monotonic() + pause(self._losses - 1)


_LARGE_ZERO = bytes(1024 * 1024)


def runs(offset: int, data: memoryview) -> Iterator[tuple[int, int, bool]]:
    """Yield begin and end of the parts of data that are zeros, block by block, and of those that are not."""
    begin, at, kind = 0, 0, False
    while at < len(data):
        stop = min(len(data), at + BLOCK - (offset + at) % BLOCK)
        zero = not data[at] and not data[stop - 1] and data[at:stop].tobytes() == _ZERO_BLOCK[: stop - at]
        if zero != kind and at > begin:
            yield begin, at, kind
            begin = at
        kind = zero
        at = stop
    if at > begin:
        yield begin, at, kind
