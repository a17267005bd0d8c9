# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a destination back from the NBD server that writes it."""

from __future__ import annotations

import contextlib
import functools
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from v2v_core.copying.read_back import REQUEST, THREADS, Check, Range, ReadBack, Stopped, pause, unreadable
from v2v_core.copying.task import CopyLimits

ResultT = TypeVar("ResultT")

#: Connections to an NBD server that allows several, and requests in flight on each.
_CONNECTIONS = 4
_DEPTH = 4
#: Buffers of a connection that may wait for their check while requests are in flight.
_BEING_CHECKED = 2
#: Bytes of one question for extents: the most that a length of 32 bits can say, in whole blocks.
_QUESTION = 1024**3
#: The flag of an extent that reads as zeros (NBD_STATE_ZERO of the NBD protocol, doc/proto.md).
_ZERO = 2


class NbdReadBack(ReadBack):
    """A destination that an NBD server writes.

    Each connection has a thread with several requests in flight, and a lost one is opened again. What was read is
    checked in other threads.
    """

    def __init__(self, uri: str, limits: CopyLimits, stop: threading.Event) -> None:
        self._server = _Server(uri, limits, stop)
        self._stop = stop
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="verify")
        try:
            self._first = self._server.retried(0, self._server.connect)
        except BaseException:
            self._pool.shutdown()
            raise
        # its last question was not answered
        self._broken = False
        self._count = _CONNECTIONS if self._first.can_multi_conn() else 1
        if limits.connections:
            self._count = min(self._count, limits.connections)

    @property
    def size(self) -> int:
        """The size of the disk."""
        return int(self._first.get_size())

    def data(self, size: int) -> Iterator[Range]:
        at = 0
        while at < size:
            extents: list[Range] = []
            if self._first.can_meta_context("base:allocation"):
                extents = self._server.retried(at, functools.partial(self._extents, at, min(_QUESTION, size - at)))
            for length, flags in extents or [(size - at, 0)]:
                end = min(at + length, size)
                if end > at and not flags & _ZERO:
                    yield at, end - at
                at = end

    def _extents(self, offset: int, length: int) -> list[tuple[int, int]]:
        found: list[tuple[int, int]] = []

        def take(_context: str, _offset: int, entries: list[int], _error: Any) -> int:
            found.extend(zip(entries[::2], entries[1::2], strict=True))
            return 0

        if self._broken:
            self._first = self._server.connect()
        handle, self._broken = self._first, True
        cookie = handle.aio_block_status(length, offset, take)
        self._server.wait(handle, lambda: handle.aio_command_completed(cookie))
        self._broken = False
        return [(length, flags) for length, flags in found if length > 0]

    def read(self, pieces: Iterator[Range], check: Check) -> None:
        lock, failed = threading.Lock(), threading.Event()

        def shared() -> Range | None:
            if self._stop.is_set():
                raise Stopped
            with lock:
                return None if failed.is_set() else next(pieces, None)

        def work() -> None:
            try:
                _Connection(self._server, self._pool, shared, check).run()
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
        self._server.close(self._first)


class _Server:
    """Connects to an NBD server, and waits for it."""

    def __init__(self, uri: str, limits: CopyLimits, stop: threading.Event) -> None:
        self._uri = uri
        self._stop = stop
        self.limits = limits

    def connect(self) -> Any:
        """Return a new connection."""
        import nbd

        handle = nbd.NBD()
        handle.add_meta_context("base:allocation")
        handle.set_uri_allow_local_file(True)
        handle.aio_connect_uri(self._uri)
        self.wait(handle, lambda: not handle.aio_is_connecting())
        if not handle.aio_is_ready():
            raise ConnectionError("the server closed the connection")
        return handle

    def wait(self, handle: Any, done: Callable[[], bool]) -> None:
        """Let a connection do its work until something is done.

        :raises TimeoutError: the server does not answer.
        """
        end = time.monotonic() + self.limits.request_seconds
        while not done():
            self.go_on()
            if (left := end - time.monotonic()) <= 0:
                raise self.silent()
            handle.poll(int(min(left, 0.5) * 1000) + 1)

    def go_on(self) -> None:
        """Check that nothing has asked the process to stop.

        :raises Stopped: something has.
        """
        if self._stop.is_set():
            raise Stopped

    def silent(self) -> TimeoutError:
        """Return the error of a server that does not answer."""
        return TimeoutError(f"the server has not answered for {self.limits.request_seconds:g} seconds")

    def retried(self, offset: int, act: Callable[[], ResultT]) -> ResultT:
        """Return what a function returns, which may fail some times.

        :raises DestinationError: it failed too often; the error names the offset.
        """
        import nbd

        for attempt in itertools.count():
            try:
                return act()
            except (nbd.Error, OSError) as err:
                self.failed(attempt, offset, err)
        raise AssertionError

    def failed(self, attempt: int, offset: int, err: Exception) -> None:
        """Wait before the next attempt. The first attempt is 0.

        :raises DestinationError: there were enough attempts.
        """
        if attempt >= self.limits.retries:
            raise unreadable("the destination", offset, err) from err
        pause(attempt, self._stop)

    @staticmethod
    def close(handle: Any) -> None:
        """Take leave of the server, if there is a connection; it is closed when its last reference is gone."""
        import nbd

        if handle is not None:
            with contextlib.suppress(nbd.Error):
                # without waiting for an answer, which a server that hangs does not give
                handle.aio_disconnect()


@dataclass
class _Request:
    """A request, waiting or in flight.

    :param attempts: how often it has failed. :param since: when it was sent. :param shared: what libnbd fills.
    """

    offset: int
    length: int
    attempts: int = 0
    buffer: memoryview | None = None
    since: float = 0.0
    shared: Any = None


class _Connection:
    """Reads pieces on one connection, which is opened again when it is lost."""

    def __init__(
        self, server: _Server, pool: ThreadPoolExecutor, next_piece: Callable[[], Range | None], check: Check
    ) -> None:
        self._server = server
        self._pool = pool
        self._next_piece = next_piece
        self._check = check
        self._waiting: deque[_Request] = deque()
        self._flying: dict[int, _Request] = {}
        self._checks: deque[Future[None]] = deque()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        for _ in range(_DEPTH + _BEING_CHECKED):
            self._free.put(memoryview(bytearray(REQUEST)))

    def run(self) -> None:
        """Read until there are no more pieces, and all are checked."""
        import nbd

        handle, failures = None, 0
        try:
            while self._take_up():
                try:
                    handle = handle or self._server.connect()
                    self._send(handle)
                    failures = 0 if self._collect(handle) else failures
                except (nbd.Error, OSError) as err:
                    self._server.close(handle)
                    handle = None
                    self._waiting.extendleft(reversed(self._flying.values()))
                    self._flying.clear()
                    self._server.failed(failures, self._waiting[0].offset, err)
                    failures += 1
            while self._checks:
                self._checks.popleft().result()
        finally:
            self._server.close(handle)
            wait(self._checks)

    def _take_up(self) -> bool:
        """Take pieces as long as there is room in flight; return whether there is anything to do."""
        self._server.go_on()
        while len(self._waiting) + len(self._flying) < _DEPTH and (piece := self._next_piece()) is not None:
            self._waiting.append(_Request(*piece))
        return bool(self._waiting or self._flying)

    def _send(self, handle: Any) -> None:
        import nbd

        while self._waiting:
            request = self._waiting[0]
            if request.buffer is None:
                try:
                    request.buffer = self._free.get(block=not self._flying)
                except Empty:
                    # all that was read is still being checked
                    return
            request.shared = nbd.Buffer.from_buffer(request.buffer[: request.length])
            self._flying[handle.aio_pread(request.shared, request.offset)] = self._waiting.popleft()
            request.since = time.monotonic()

    def _collect(self, handle: Any) -> bool:
        """Wait for answers; return whether one came.

        :raises OSError: the server does not answer, or the connection is lost.
        """
        import nbd

        oldest = next(iter(self._flying.values()))
        left = oldest.since + self._server.limits.request_seconds - time.monotonic()
        handle.poll(int(max(0.0, min(left, 0.5)) * 1000) + 1)
        answered, refused = [], []
        for cookie in self._flying:
            try:
                if handle.aio_command_completed(cookie):
                    answered.append(cookie)
            except nbd.Error as err:
                if handle.aio_is_dead() or handle.aio_is_closed():
                    raise
                refused.append((cookie, err))
        for cookie in answered:
            self._checks.append(self._pool.submit(self._checked, self._flying.pop(cookie)))
        for cookie, reason in refused:
            # the server could not read this piece, and the connection goes on
            request = self._flying.pop(cookie)
            self._waiting.append(request)
            self._server.failed(request.attempts, request.offset, reason)
            request.attempts += 1
        while self._checks and self._checks[0].done():
            self._checks.popleft().result()
        if left <= 0 and not answered and not refused:
            raise self._server.silent()
        return bool(answered)

    def _checked(self, request: _Request) -> None:
        buffer = cast("memoryview", request.buffer)
        try:
            self._check(request.offset, buffer[: request.length])
        finally:
            self._free.put(buffer)
