# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection to an NBD server, with many requests in flight (libnbd(3), nbd_aio_pread(3))."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyLimits

#: NBD counts lengths in 32 bits.
_LONGEST_ZERO = 1024 * 1024 * 1024
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
    done: Callable[[str | None, int], None]
    since: float
    keep: Any


class NbdEnd:
    """A connection. It is used by one thread.

    :param cause: which end it is, for errors.
    """

    def __init__(self, uri: str, cause: Cause, limits: CopyLimits) -> None:
        self.uri = uri
        self.cause = cause
        self._limits = limits
        self._handle: Any = None
        self._flying: dict[int, _Flying] = {}

    @property
    def busy(self) -> int:
        """How many requests are in flight."""
        return len(self._flying)

    @property
    def several(self) -> bool:
        """Whether the server lets several connections see each other's writes (NBD_FLAG_CAN_MULTI_CONN)."""
        return bool(self._connected().can_multi_conn())

    @property
    def zeroes(self) -> bool:
        """Whether the server can write zeros that are not sent."""
        return bool(self._connected().can_zero())

    def read(self, offset: int, buffer: memoryview, done: Callable[[str | None, int], None]) -> None:
        """Read into a buffer; ``done`` gets an error or None, and an errno or 0.

        :raises Lost: the connection is lost.
        """
        import nbd

        target = nbd.Buffer.from_buffer(buffer)
        self._send(lambda handle: handle.aio_pread(target, offset), done, target)

    def write(self, offset: int, buffer: memoryview, done: Callable[[str | None, int], None]) -> None:
        """Write a buffer, which must not change before ``done`` is called."""
        import nbd

        source = nbd.Buffer.from_buffer(buffer)
        self._send(lambda handle: handle.aio_pwrite(source, offset), done, source)

    def zero(self, offset: int, length: int, done: Callable[[str | None, int], None], *, allocate: bool) -> None:
        """Write zeros.

        :param length: at most 1 GiB. :param allocate: the zeros shall take their space.
        """
        import nbd

        flags = nbd.CMD_FLAG_NO_HOLE if allocate else 0
        self._send(lambda handle: handle.aio_zero(length, offset, flags=flags), done, None)

    def flush(self, done: Callable[[str | None, int], None]) -> None:
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
                answered.append((request, err.string, err.errnum or 5, cookie))
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

    def _send(self, request: Callable[[Any], int], done: Callable[[str | None, int], None], keep: Any) -> None:
        import nbd

        handle = self._connected()
        try:
            cookie = request(handle)
        except nbd.Error as err:
            if not self._dead():
                # refused by libnbd itself: it does not help to connect again
                done(err.string, err.errnum or 5)
                return
            self.close()
            raise Lost(self, str(err.string)) from err
        self._flying[cookie] = _Flying(done, time.monotonic(), keep)

    def _dead(self) -> bool:
        return bool(self._handle.aio_is_dead() or self._handle.aio_is_closed())

    def _connected(self) -> Any:
        if self._handle is not None:
            return self._handle
        import nbd

        handle = nbd.NBD()
        # a buffer whose content is not used if reading fails need not be cleared first
        handle.set_pread_initialize(False)
        handle.set_request_structured_replies(False)
        handle.set_uri_allow_local_file(True)
        deadline = time.monotonic() + min(_CONNECT, self._limits.request_seconds)
        try:
            handle.aio_connect_uri(self.uri)
            while handle.aio_is_connecting():
                if time.monotonic() > deadline:
                    raise Lost(self, "the server does not answer")
                handle.poll(200)
            if not handle.aio_is_ready():
                raise Lost(self, "the server closed the connection")
        except nbd.Error as err:
            raise Lost(self, str(err.string)) from err
        self._handle = handle
        return handle


def zero_steps(offset: int, length: int) -> list[tuple[int, int]]:
    """Cut a range into what one request can zero."""
    return [(at, min(_LONGEST_ZERO, offset + length - at)) for at in range(offset, offset + length, _LONGEST_ZERO)]
