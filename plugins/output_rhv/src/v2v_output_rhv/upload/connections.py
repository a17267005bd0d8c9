# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections to ovirt-imageio for one disk: shared by threads, renewed when they break, kept alive.

This module also runs in the Python of nbdkit, and imports only the standard library. A small request that was lost is
repeated: writing the same bytes twice does no harm.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

#: A client of ovirt-imageio (``ovirt_imageio.client.ImageioClient``).
Client = Any
ResultT = TypeVar("ResultT")

#: HTTP status: the ticket has expired, was cancelled, or is unknown to the server.
_FORBIDDEN = 403
_SERVER_ERROR = 500
#: Bytes; the longest zero request. The client waits one minute for the answer to a request.
_ZERO_STEP = 256 * 1024 * 1024


@dataclass(frozen=True)
class Policy:
    """When to try again, and when to give up.

    :param connections: the most connections; the server may allow fewer.
    :param patience: seconds for which a broken connection is renewed again and again.
    :param first_patience: the same for the first connection, which the next step waits for.
    :param first_pause: seconds before the first repetition; each further pause is twice as long.
    :param longest_pause: seconds; no pause is longer.
    :param server_errors: how often a request is repeated that the server answers with an error of its own.
    :param idle: seconds after which a request is sent on an unused connection. Without requests, the engine stops the
        transfer and the ticket expires, after a minute at the earliest.
    """

    connections: int = 4
    patience: float = 120.0
    first_patience: float = 30.0
    first_pause: float = 0.2
    longest_pause: float = 5.0
    server_errors: int = 2
    idle: float = 20.0


class Refused(OSError):
    """The server refuses a request, or has not answered for too long. The text is for users and contains no secret."""

    #: It does not help to try again.
    final: bool = False


class ReadFailed(Exception):
    """The data to send cannot be read. The connection is not the cause."""


class Reader(Protocol):
    """The source of the bytes of one request, in their order."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer from its beginning, and return the number of bytes.

        :raises ReadFailed: the data cannot be read.
        """
        ...


@dataclass(eq=False)
class _Slot:
    """A place for a connection, which is opened when it is first used.

    :param dirty: something was written that was not flushed since. :param wanted: flushes that wait for it.
    """

    client: Client | None = None
    used: float = 0.0
    dirty: bool = False
    wanted: int = 0


@dataclass
class Connections:
    """Connections to one disk.

    :param connect: makes a client. :param secrets: texts that are removed from errors, such as the ticket.
    """

    connect: Callable[[], Client]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    policy: Policy = Policy()

    def __post_init__(self) -> None:
        self._slots: list[_Slot] = []
        # the one that was used last is at the end, and is used first: the others can stay closed
        self._free: list[_Slot] = []
        self._freed = threading.Condition()
        self._stopped = threading.Event()
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Open the first connection, and learn from it how many the server allows.

        :raises Refused: no connection can be opened.
        """
        first = _Slot()
        limit = 1

        def learn_limit(client: Client) -> None:
            nonlocal limit
            limit = max(1, min(client.max_writers, client.max_readers, self.policy.connections))

        self._run(first, learn_limit, self.policy.first_patience)
        self._slots = [first, *(_Slot() for _ in range(limit - 1))]
        self._free = self._slots[::-1]
        self._keeper = threading.Thread(target=self._keep_alive, name="keep-alive", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Close the connections."""
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join(timeout=5)
        for slot in self._slots:
            _close(slot)

    @property
    def count(self) -> int:
        """Return how many requests can run at the same time; valid after ``start``."""
        return len(self._slots)

    def read(self, offset: int, buffer: Any) -> None:
        """Fill a buffer from an offset."""
        self._use(lambda client: client.read(offset, buffer))

    def write(self, offset: int, data: Any) -> None:
        """Write a buffer at an offset."""
        self._use(lambda client: client.write(offset, data), dirties=True)

    def send(self, offset: int, length: int, reader: Reader) -> None:
        """Write the data of a reader in one request, which the server writes to the disk while it arrives.

        The request is not repeated. A server that fails in the middle closes the connection, and its error message can
        be lost. A small request, which the server receives completely before it writes, shows the error.

        :raises Refused: the request failed. :raises ReadFailed: the reader failed.
        """
        self._use(lambda client: client.read_from(reader, offset, length), dirties=True, patience=0)

    def zero(self, offset: int, length: int) -> None:
        """Write zeros."""
        for start in range(offset, offset + length, _ZERO_STEP):
            step = min(_ZERO_STEP, offset + length - start)
            self._use(partial(_zero, start, step), dirties=True)

    def flush(self) -> None:
        """Make the server sync to its storage what was written by requests that were answered before.

        Each connection is flushed when it has answered the request that it is busy with; the others go on meanwhile.
        """
        # acknowledged data outlives its connection, so any connection can flush it
        for slot in [slot for slot in self._slots if slot.dirty] or self._slots[:1]:
            self._take(slot)
            try:
                self._run(slot, lambda client: client.flush())
                slot.dirty = False
            finally:
                self._give(slot)

    def _take(self, wanted: _Slot | None = None) -> _Slot:
        """Wait for a certain connection, or for any that no flush waits for, and return it."""
        with self._freed:
            if wanted is not None:
                wanted.wanted += 1
                self._freed.wait_for(lambda: wanted in self._free)
                wanted.wanted -= 1
                slot = wanted
            else:
                self._freed.wait_for(lambda: any(not slot.wanted for slot in self._free))
                slot = next(slot for slot in reversed(self._free) if not slot.wanted)
            self._free.remove(slot)
            return slot

    def _give(self, slot: _Slot) -> None:
        with self._freed:
            self._free.append(slot)
            self._freed.notify_all()

    def _use(
        self, request: Callable[[Client], ResultT], *, dirties: bool = False, patience: float | None = None
    ) -> ResultT:
        slot = self._take()
        try:
            slot.dirty = slot.dirty or dirties
            return self._run(slot, request, patience)
        finally:
            self._give(slot)

    def _run(self, slot: _Slot, request: Callable[[Client], ResultT], patience: float | None = None) -> ResultT:
        """Make a request, on a new connection if the old one breaks.

        :param patience: seconds, in place of the policy's.
        :raises Refused: the server refuses the request, or has not answered for too long.
        """
        deadline = time.monotonic() + (self.policy.patience if patience is None else patience)
        pause, server_errors = self.policy.first_pause, 0
        while True:
            try:
                if slot.client is None:
                    slot.client = self.connect()
                result = request(slot.client)
            except ReadFailed:
                # the connection cannot be used again: only a part of the request was sent
                _close(slot)
                raise
            except Exception as err:
                _close(slot)
                server_errors += status_of(err) is not None
                final = not _may_pass(err) or server_errors > self.policy.server_errors
                if final or time.monotonic() > deadline or self._stopped.wait(pause):
                    raise self._refused(err) from None
                pause = min(pause * 2, self.policy.longest_pause)
            else:
                slot.used = time.monotonic()
                return result

    def _keep_alive(self) -> None:
        """Send a request on each connection that was not used for a while. Keep at least one connection.

        The conversion can take hours, in which nothing else is sent.
        """
        while not self._stopped.wait(self.policy.idle / 4):
            for slot in self._take_idle():
                try:
                    if slot.client is None:
                        slot.client = self.connect()
                    slot.client.flush()
                    slot.used = time.monotonic()
                except Exception:
                    # tried again soon; the next request of a user of the disk reports what is wrong
                    _close(slot)
                finally:
                    self._give(slot)

    def _take_idle(self) -> list[_Slot]:
        """Take the connections that were not used for a while; if all are broken, take one of them."""
        now = time.monotonic()
        with self._freed:
            idle = [slot for slot in self._free if slot.client is not None and now - slot.used > self.policy.idle]
            if len(self._free) == len(self._slots) and all(slot.client is None for slot in self._free):
                idle = self._free[-1:]
            self._free = [slot for slot in self._free if slot not in idle]
        return idle

    def _refused(self, err: Exception) -> Refused:
        text = " ".join(str(err).split()) or type(err).__name__
        for secret in self.secrets:
            text = text.replace(secret, "...")
        status = status_of(err)
        if status == _FORBIDDEN:
            text = f"ovirt-imageio refuses: the transfer is over, was cancelled, or its ticket has expired ({text})"
        elif status is not None and status >= _SERVER_ERROR:
            text = f"ovirt-imageio failed ({text}): see its daemon.log on the host; perhaps the storage is full"
        elif status is not None:
            text = f"ovirt-imageio refuses: {text}"
        elif isinstance(err, ssl.SSLCertVerificationError):
            text = f"the certificate of ovirt-imageio is not trusted: {text}; add -oo rhv-cafile=FILE"
        else:
            text = f"the connection to ovirt-imageio is broken: {text}"
        refused = Refused(errno.EPERM if status == _FORBIDDEN else errno.EIO, text)
        refused.final = not _may_pass(err)
        return refused


def status_of(err: Exception) -> int | None:
    """Return the HTTP status of an error of the client, whose class is private and whose ``code`` is not."""
    code = getattr(err, "code", None)
    return code if isinstance(code, int) else None


def _may_pass(err: Exception) -> bool:
    """Check whether it can help to try again."""
    status = status_of(err)
    if status is not None:
        return status >= _SERVER_ERROR
    if isinstance(err, ssl.SSLCertVerificationError):
        return False
    # RuntimeError: the client received fewer bytes than the server announced
    return isinstance(err, (OSError, http.client.HTTPException, RuntimeError))


def _zero(offset: int, length: int, client: Client) -> None:
    client.zero(offset, length)


def _close(slot: _Slot) -> None:
    client, slot.client = slot.client, None
    if client is not None:
        with contextlib.suppress(Exception):
            client.close()
