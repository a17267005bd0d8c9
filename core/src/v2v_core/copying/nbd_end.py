# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to an NBD server, with many requests in flight (libnbd(3), nbd_aio_pread(3))."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from v2v_core.copying.job import Stopped
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyLimits

#: NBD counts lengths in 32 bits.
LONGEST = 1024 * 1024 * 1024
#: The metadata context that says which extents read as zeros (the NBD protocol, doc/proto.md), and the flag for that,
#: whether or not they are a hole (NBD_STATE_ZERO).
ALLOCATION = "base:allocation"
ZERO = 2
#: Is called with an error and its errno, or with None and 0, when a request is answered.
Done = Callable[[str | None, int], None]
#: Bytes of the buffers of a socket; the kernel gives as much of it as the administrator allows.
_BUFFER = 4 * 1024 * 1024
#: Seconds that a connection may take.
_CONNECT = 60.0


class Lost(Exception):
    """A connection is lost, or its server does not answer: nothing in flight on it counts."""

    def __init__(self, end: NbdEnd, reason: str) -> None:
        super().__init__(reason)
        self.end = end
        self.reason = reason


@dataclass
class _Flying:
    done: Done
    since: float
    keep: Any


class NbdEnd:
    """A connection, opened when it is used. It is used by one thread.

    :param cause: which end it is, for errors.
    :param contexts: the metadata contexts that ``extents`` asks for.
    :param stop: ends all waiting for the server with ``Stopped`` when it is set.
    """

    def __init__(
        self,
        uri: str,
        cause: Cause,
        limits: CopyLimits,
        *,
        contexts: tuple[str, ...] = (),
        stop: threading.Event | None = None,
    ) -> None:
        self.uri = uri
        self.cause = cause
        self._limits = limits
        self._contexts = contexts
        self._stop = stop or threading.Event()
        self._handle: Any = None
        self._flying: dict[int, _Flying] = {}

    @property
    def busy(self) -> int:
        """How many requests are in flight."""
        return len(self._flying)

    @property
    def size(self) -> int:
        """The size of the disk in bytes."""
        return int(self._connected().get_size())

    def knows(self, context: str) -> bool:
        """Return whether the server has a metadata context."""
        return bool(self._connected().can_meta_context(context))

    @property
    def several(self) -> bool:
        """Whether the server lets several connections see each other's writes (NBD_FLAG_CAN_MULTI_CONN)."""
        return bool(self._connected().can_multi_conn())

    @property
    def zeroes(self) -> bool:
        """Whether the server can write zeros that are not sent."""
        return bool(self._connected().can_zero())

    def read(self, offset: int, buffer: memoryview, done: Done) -> None:
        """Read into a buffer, which belongs to the request until ``done`` is called.

        :raises Lost: the connection is lost.
        """
        import nbd

        target = nbd.Buffer.from_buffer(buffer)
        self._send(lambda handle: handle.aio_pread(target, offset), done, target)

    def write(self, offset: int, buffer: memoryview, done: Done) -> None:
        """Write a buffer, which must not change before ``done`` is called."""
        import nbd

        source = nbd.Buffer.from_buffer(buffer)
        self._send(lambda handle: handle.aio_pwrite(source, offset), done, source)

    def zero(self, offset: int, length: int, done: Done, *, allocate: bool) -> None:
        """Write zeros.

        :param length: at most ``LONGEST``. :param allocate: the zeros shall take their space.
        """
        import nbd

        flags = nbd.CMD_FLAG_NO_HOLE if allocate else 0
        self._send(lambda handle: handle.aio_zero(length, offset, flags=flags), done, None)

    def extents(self, offset: int, length: int, answers: dict[str, list[int]], done: Done) -> None:
        """Ask for the extents of a range of at most ``LONGEST`` bytes.

        :param answers: gets, for each metadata context, the lengths of the extents in turn with their flags. A server
            may answer for less than was asked.
        """

        def take(context: str, _offset: int, words: list[int], _error: Any) -> None:
            answers[context] = words

        self._send(lambda handle: handle.aio_block_status(length, offset, take), done, take)

    def flush(self, done: Done) -> None:
        """Make durable what was written by requests that are done."""
        if not self._connected().can_flush():
            done(None, 0)
            return
        self._send(lambda handle: handle.aio_flush(), done, None)

    def collect(self) -> bool:
        """Call ``done`` of the requests that were answered; return whether there were any.

        :raises Lost: the connection is lost, or the server has not answered for too long.
        """
        import nbd

        if self._handle is None or not self._flying:
            return False
        answered = []
        for cookie, request in self._flying.items():
            try:
                if self._handle.aio_command_completed(cookie):
                    answered.append((request, None, 0, cookie))
            except nbd.Error as err:
                if self._dead():
                    self.close()
                    raise Lost(self, str(err.string)) from err
                answered.append((request, err.string, err.errnum or errno.EIO, cookie))
        for _, _, _, cookie in answered:
            del self._flying[cookie]
        lost: Lost | None = None
        for request, error, number, _ in answered:
            try:
                request.done(error, number)
            except Lost as err:
                # the other end; the answers to the other requests count nevertheless
                lost = lost or err
        if lost is not None:
            raise lost
        if not answered and self._flying:
            oldest = next(iter(self._flying.values())).since
            if time.monotonic() - oldest > self._limits.request_seconds:
                self.close()
                raise Lost(self, f"the server has not answered for {self._limits.request_seconds:g} seconds")
            if self._dead():
                self.close()
                raise Lost(self, "the server has closed the connection")
        return bool(answered)

    def wanted(self) -> tuple[int, int] | None:
        """Return the descriptor to wait for and the events (poll(2)); None if nothing is in flight.

        :raises Lost: the connection is lost.
        """
        if self._handle is None or not self._flying:
            return None
        import nbd

        try:
            direction = self._handle.aio_get_direction()
            events = select.POLLIN if direction & nbd.AIO_DIRECTION_READ else 0
            events |= select.POLLOUT if direction & nbd.AIO_DIRECTION_WRITE else 0
            return self._handle.aio_get_fd(), events
        except nbd.Error as err:
            # it was lost when the last request was sent
            self.close()
            raise Lost(self, str(err.string)) from err

    def go_on(self, events: int) -> None:
        """Let the connection read and write.

        :raises Lost: the connection is lost.
        """
        import nbd

        handle = self._handle
        if handle is None:
            return
        try:
            direction = handle.aio_get_direction()
            if events & (select.POLLIN | select.POLLHUP | select.POLLERR) and direction & nbd.AIO_DIRECTION_READ:
                handle.aio_notify_read()
            elif events & (select.POLLOUT | select.POLLERR) and direction & nbd.AIO_DIRECTION_WRITE:
                handle.aio_notify_write()
        except nbd.Error as err:
            self.close()
            raise Lost(self, str(err.string)) from err

    def close(self) -> None:
        """Drop the connection. What was in flight is forgotten: its callers learn it from ``Lost``."""
        import nbd

        handle, self._handle = self._handle, None
        self._flying.clear()
        if handle is not None:
            # without waiting for an answer, which a server that hangs does not give
            with contextlib.suppress(nbd.Error):
                handle.aio_disconnect()

    def _send(self, request: Callable[[Any], int], done: Done, keep: Any) -> None:
        import nbd

        handle = self._connected()
        try:
            cookie = request(handle)
        except nbd.Error as err:
            if not self._dead():
                # refused by libnbd itself: it does not help to connect again
                done(err.string, err.errnum or errno.EIO)
                return
            self.close()
            raise Lost(self, str(err.string)) from err
        self._flying[cookie] = _Flying(done, time.monotonic(), keep)

    def check_stop(self) -> None:
        """Check that nothing has asked the process to stop.

        :raises Stopped: something has.
        """
        if self._stop.is_set():
            raise Stopped

    def _dead(self) -> bool:
        return bool(self._handle.aio_is_dead() or self._handle.aio_is_closed())

    def _connected(self) -> Any:
        if self._handle is not None:
            return self._handle
        import nbd

        handle = nbd.NBD()
        # a buffer whose content is not used if reading fails need not be cleared first
        handle.set_pread_initialize(False)
        if self._contexts:
            for context in self._contexts:
                handle.add_meta_context(context)
        else:
            handle.set_request_structured_replies(False)
        # the file of a TLS key that the URI names is ours
        handle.set_uri_allow_local_file(True)
        deadline = time.monotonic() + min(_CONNECT, self._limits.request_seconds)
        try:
            handle.aio_connect_uri(self.uri)
            while handle.aio_is_connecting():
                self.check_stop()
                if time.monotonic() > deadline:
                    raise Lost(self, "the server does not answer")
                handle.poll(200)
            if not handle.aio_is_ready():
                raise Lost(self, "the server closed the connection")
        except nbd.Error as err:
            raise Lost(self, str(err.string)) from err
        _enlarge_buffers(handle.aio_get_fd())
        self._handle = handle
        return handle


def _enlarge_buffers(descriptor: int) -> None:
    """Let the kernel hold more of what is on its way, so that neither end waits for each small part of a request."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            connection.setsockopt(socket.SOL_SOCKET, option, _BUFFER)


def pump(ends: Iterable[NbdEnd], *, seconds: float = 0.2, allowed: Callable[[], None] | None = None) -> bool:
    """Wait for answers on some connections, and take them; return whether there were any.

    :param seconds: the longest wait; 0 to send and receive only what is possible at once.
    :param allowed: is called before anything is sent, and raises what forbids that.
    :raises Lost: a connection is lost.
    """
    poll, waiting, known = select.poll(), {}, list(ends)
    for end in known:
        wanted = end.wanted()
        if wanted is not None:
            poll.register(*wanted)
            waiting[wanted[0]] = end
    for descriptor, events in poll.poll(seconds * 1000):
        if allowed is not None:
            allowed()
        waiting[descriptor].go_on(events)
    answered = [end.collect() for end in known]
    return any(answered)


def answer_of(end: NbdEnd, request: Callable[[Done], None]) -> None:
    """Send one request, and wait for its answer.

    :raises Lost: the connection is lost. :raises OSError: the server refuses it.
    :raises Stopped: the process was asked to stop.
    """
    answers: list[tuple[str | None, int]] = []
    request(lambda error, number: answers.append((error, number)))
    while not answers:
        end.check_stop()
        pump([end])
    error, number = answers[0]
    if error is not None:
        raise OSError(number, error)


def zero_steps(offset: int, length: int) -> list[tuple[int, int]]:
    """Cut a range into what one request can zero."""
    return [(at, min(LONGEST, offset + length - at)) for at in range(offset, offset + length, LONGEST)]
