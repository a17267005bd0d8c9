# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a destination back from the NBD server that writes it."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from v2v_core.copying.job import Stopped, pause
from v2v_core.copying.messages import Cause
from v2v_core.copying.nbd_end import ALLOCATION, LONGEST, ZERO, Lost, NbdEnd, answer_of, pump
from v2v_core.copying.read_back import REQUEST, THREADS, Check, Range, ReadBack, unreadable
from v2v_core.copying.task import CopyLimits

ResultT = TypeVar("ResultT")

#: Connections to an NBD server that allows several, and requests in flight on each.
_CONNECTIONS = 4
_DEPTH = 4
#: Buffers of a connection that may wait for their check while requests are in flight.
_BEING_CHECKED = 2


class NbdReadBack(ReadBack):
    """A destination that an NBD server writes.

    Each connection has a thread with several requests in flight, and a lost one is opened again. What was read is
    checked in other threads.
    """

    def __init__(self, uri: str, limits: CopyLimits, stop: threading.Event) -> None:
        self._uri, self._limits, self._stop = uri, limits, stop
        self._attempts = _Attempts(limits, stop)
        self._map = NbdEnd(uri, Cause.DESTINATION, limits, contexts=(ALLOCATION,), stop=stop)
        self._count = _CONNECTIONS if self._retried(0, lambda: self._map.several) else 1
        if limits.connections:
            self._count = min(self._count, limits.connections)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="verify")

    @property
    def size(self) -> int:
        """The size of the disk."""
        return self._retried(0, lambda: self._map.size)

    def data(self, size: int) -> Iterator[Range]:
        at = 0
        while at < size:
            for length, flags in self._retried(at, partial(self._extents, at, size - at)):
                end = min(at + length, size)
                if end > at and not flags & ZERO:
                    yield at, end - at
                at = end

    def _extents(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Return length and flags of the extents that come next."""
        if not self._map.knows(ALLOCATION):
            return [(length, 0)]
        answers: dict[str, list[int]] = {}
        answer_of(self._map, partial(self._map.extents, offset, min(LONGEST, length), answers))
        words = answers.get(ALLOCATION, [])
        found = [(count, flags) for count, flags in zip(words[::2], words[1::2], strict=True) if count > 0]
        return found or [(length, 0)]

    def _retried(self, offset: int, act: Callable[[], ResultT]) -> ResultT:
        for attempt in itertools.count():
            try:
                return act()
            except (Lost, OSError) as err:
                self._map.close()
                self._attempts.failed(attempt, offset, err)
        raise AssertionError

    def read(self, pieces: Iterator[Range], check: Check) -> None:
        lock, failed = threading.Lock(), threading.Event()

        def shared() -> Range | None:
            if self._stop.is_set():
                raise Stopped
            with lock:
                return None if failed.is_set() else next(pieces, None)

        def work() -> None:
            end = NbdEnd(self._uri, Cause.DESTINATION, self._limits, stop=self._stop)
            try:
                _Reader(end, self._attempts, self._pool, shared, check).run()
            except BaseException:
                failed.set()
                raise

        with ThreadPoolExecutor(self._count, thread_name_prefix="read-back") as connections:
            works = [connections.submit(work) for _ in range(self._count)]
            errors = [error for one in works if (error := one.exception()) is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        self._pool.shutdown()
        self._map.close()


@dataclass(frozen=True)
class _Attempts:
    limits: CopyLimits
    stop: threading.Event

    def failed(self, attempt: int, offset: int, err: Exception) -> None:
        """Wait before the next attempt. The first attempt is 0.

        :raises DestinationError: there were enough attempts. :raises Stopped: the process was asked to stop.
        """
        if attempt >= self.limits.retries:
            raise unreadable("the destination", offset, err) from err
        if self.stop.wait(pause(attempt)):
            raise Stopped


@dataclass(eq=False)
class _Request:
    """A request, waiting or in flight.

    :param attempts: how often it has failed.
    """

    offset: int
    length: int
    attempts: int = 0
    buffer: memoryview | None = None


class _Reader:
    """Reads pieces on one connection, which is opened again when it is lost."""

    def __init__(
        self,
        end: NbdEnd,
        attempts: _Attempts,
        pool: ThreadPoolExecutor,
        next_piece: Callable[[], Range | None],
        check: Check,
    ) -> None:
        self._end = end
        self._attempts = attempts
        self._pool = pool
        self._next_piece = next_piece
        self._check = check
        self._waiting: deque[_Request] = deque()
        #: In the order in which they were sent.
        self._flying: dict[_Request, None] = {}
        self._refused: list[tuple[_Request, OSError]] = []
        self._checks: deque[Future[None]] = deque()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_DEPTH + _BEING_CHECKED):
            self._free.put(memoryview(bytearray(REQUEST)))

    def run(self) -> None:
        """Read until there are no more pieces, and all are checked."""
        losses = 0
        try:
            while self._take_up():
                try:
                    self._send()
                    if pump([self._end]):
                        losses = 0
                except Lost as err:
                    self._end.close()
                    self._waiting.extendleft(reversed(self._flying))
                    for request in self._flying:
                        # libnbd may still fill the old one
                        request.buffer = memoryview(bytearray(REQUEST))
                    self._flying.clear()
                    self._attempts.failed(losses, self._waiting[0].offset, err)
                    losses += 1
                self._repeat_refused()
                while self._checks and self._checks[0].done():
                    self._checks.popleft().result()
            while self._checks:
                self._checks.popleft().result()
        finally:
            self._end.close()
            wait(self._checks)

    def _take_up(self) -> bool:
        """Take pieces as long as there is room in flight; return whether there is anything to do.

        :raises Stopped: the process was asked to stop.
        """
        self._end.check_stop()
        while len(self._waiting) + len(self._flying) < _DEPTH and (piece := self._next_piece()) is not None:
            self._waiting.append(_Request(*piece))
        return bool(self._waiting or self._flying)

    def _send(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            if request.buffer is None:
                try:
                    request.buffer = self._free.get(block=not self._flying)
                except Empty:
                    # all that was read is still being checked
                    return
            self._flying[self._waiting.popleft()] = None
            self._end.read(request.offset, request.buffer[: request.length], partial(self._answered, request))

    def _answered(self, request: _Request, error: str | None, number: int) -> None:
        self._flying.pop(request, None)
        if error is None:
            self._checks.append(self._pool.submit(self._checked, request))
        else:
            self._refused.append((request, OSError(number, error)))

    def _repeat_refused(self) -> None:
        """Ask again for what the server could not read; the connection goes on."""
        refused, self._refused = self._refused, []
        for request, reason in refused:
            self._waiting.append(request)
            self._attempts.failed(request.attempts, request.offset, reason)
            request.attempts += 1

    def _checked(self, request: _Request) -> None:
        if request.buffer is None:
            raise TypeError("what was read is in a buffer")
        try:
            self._check(request.offset, request.buffer[: request.length])
        finally:
            self._free.put(request.buffer)
