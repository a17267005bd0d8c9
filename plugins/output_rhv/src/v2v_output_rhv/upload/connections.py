# SPDX-License-Identifier: GPL-2.0-or-later
"""The connections to ovirt-imageio for one disk: shared by threads, mended when they break, kept alive.

Runs in the Python of nbdkit, too, and so imports nothing but the standard library. A small request that was lost on the
way is simply made again: writing the same bytes twice does no harm.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import queue
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

#: HTTP: the ticket has expired, was cancelled, or is not known there.
_FORBIDDEN = 403
_SERVER_ERROR = 500
#: A zero request is not longer than this: one request must be answered within the minute that the client waits.
_ZERO_STEP = 256 * 1024 * 1024


@dataclass(frozen=True)
class Policy:
    """How hard to try.

    :param connections: at most so many, if the server takes them. :param patience: seconds for which a broken
        connection is made again and again. :param first_patience: the same for the first one, which somebody waits for.
    :param server_errors: how often a request is made again that the server
        failed in. :param idle: seconds after which something is sent on a connection that nobody uses: the engine
        stops a transfer, and a ticket expires, when nothing comes (the shortest of these times is a minute).
    """

    connections: int = 4
    patience: float = 120.0
    first_patience: float = 30.0
    first_pause: float = 0.2
    longest_pause: float = 5.0
    server_errors: int = 2
    idle: float = 20.0


class Refused(OSError):
    """The server refuses, or does not answer for too long; the text is for people and holds no secret."""


class ReadFailed(Exception):
    """What is to be sent cannot be read. It is no matter of the connection."""


class Reader(Protocol):
    """Gives the bytes of one request, in their order."""

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer, from its beginning, and give how much of it.

        :raises ReadFailed: it cannot.
        """
        ...


@dataclass(eq=False)
class _Slot:
    """A place for a connection, which is made when it is first used."""

    client: Client | None = None
    used: float = 0.0
    dirty: bool = False


@dataclass
class Connections:
    """Connections to one disk.

    :param connect: makes a client. :param secrets: what must not get into a text, such as the ticket.
    """

    connect: Callable[[], Client]
    secrets: tuple[str, ...] = field(default=(), repr=False)
    policy: Policy = Policy()

    def __post_init__(self) -> None:
        self._idle: queue.LifoQueue[_Slot] = queue.LifoQueue()
        self._slots: list[_Slot] = []
        # who collects all connections must be alone: two that have some each would wait for ever
        self._collecting = threading.Lock()
        self._stopped = threading.Event()
        self._keeper: threading.Thread | None = None

    def start(self) -> None:
        """Make the first connection, and learn from it how many there may be.

        :raises Refused: there is none to be had.
        """
        first = _Slot()
        limit = 1

        def look(client: Client) -> None:
            nonlocal limit
            limit = max(1, min(client.max_writers, client.max_readers, self.policy.connections))

        self._run(first, look, self.policy.first_patience)
        self._slots = [first, *(_Slot() for _ in range(limit - 1))]
        for slot in reversed(self._slots):
            self._idle.put(slot)
        self._keeper = threading.Thread(target=self._keep_alive, name="keep-alive", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """Close what is open."""
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join(timeout=5)
        for slot in self._slots:
            _close(slot)

    @property
    def count(self) -> int:
        """How many requests can be made side by side, once it was started."""
        return len(self._slots)

    def read(self, offset: int, buffer: Any) -> None:
        """Fill a buffer from an offset."""
        self._use(lambda client: client.read(offset, buffer))

    def write(self, offset: int, data: Any) -> None:
        """Write a buffer at an offset."""
        self._use(lambda client: client.write(offset, data), dirties=True)

    def send(self, offset: int, length: int, reader: Reader) -> None:
        """Write what a reader gives, in one request: the server writes while it is being sent.

        It is not made again: a server that fails in the middle closes the connection, and what it says about it can be
        lost with that. A small request, which it reads to the end before it writes, says what is wrong.

        :raises Refused: something went wrong. :raises ReadFailed: the reader did.
        """
        self._use(lambda client: client.read_from(reader, offset, length), dirties=True, patience=0)

    def zero(self, offset: int, length: int) -> None:
        """Write zeros."""
        for start in range(offset, offset + length, _ZERO_STEP):
            step = min(_ZERO_STEP, offset + length - start)
            self._use(partial(_zero, start, step), dirties=True)

    def flush(self) -> None:
        """Have the server write to its storage what was sent before, on whichever connection."""
        with self._collecting:
            taken = [self._idle.get() for _ in self._slots]
        try:
            for slot in taken:
                # with a broken connection nothing is lost that the server had acknowledged: any may flush it
                if slot.dirty or slot is taken[0]:
                    self._run(slot, lambda client: client.flush())
                    slot.dirty = False
        finally:
            for slot in taken:
                self._idle.put(slot)

    def _use(
        self, request: Callable[[Client], ResultT], *, dirties: bool = False, patience: float | None = None
    ) -> ResultT:
        slot = self._idle.get()
        try:
            slot.dirty = slot.dirty or dirties
            return self._run(slot, request, patience)
        finally:
            self._idle.put(slot)

    def _run(self, slot: _Slot, request: Callable[[Client], ResultT], patience: float | None = None) -> ResultT:
        """Make a request, on a new connection if the old one breaks.

        :param patience: another one than the policy's.
        :raises Refused: the server does not want it, or patience is at an end.
        """
        deadline = time.monotonic() + (self.policy.patience if patience is None else patience)
        pause, server_errors = self.policy.first_pause, 0
        while True:
            try:
                if slot.client is None:
                    slot.client = self.connect()
                result = request(slot.client)
            except ReadFailed:
                # half a request was sent
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
        """Send something on each connection that was not used for a while."""
        while not self._stopped.wait(self.policy.idle / 4):
            for slot in self._take_idle():
                try:
                    if slot.client is not None:
                        slot.client.flush()
                        slot.used = time.monotonic()
                except Exception:
                    # who uses it next makes a new one, and hears what is wrong
                    _close(slot)
                finally:
                    self._idle.put(slot)

    def _take_idle(self) -> list[_Slot]:
        """Take the connections that were not used for a while."""
        free: list[_Slot] = []
        with contextlib.suppress(queue.Empty):
            while True:
                free.append(self._idle.get_nowait())
        now = time.monotonic()
        idle = [slot for slot in free if slot.client is not None and now - slot.used > self.policy.idle]
        for slot in reversed(free):
            if slot not in idle:
                self._idle.put(slot)
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
        return Refused(errno.EPERM if status == _FORBIDDEN else errno.EIO, text)


def status_of(err: Exception) -> int | None:
    """Give the HTTP status that an error of the client stands for: its class is private, its ``code`` is not."""
    code = getattr(err, "code", None)
    return code if isinstance(code, int) else None


def _may_pass(err: Exception) -> bool:
    """Tell whether it can help to try again."""
    status = status_of(err)
    if status is not None:
        return status >= _SERVER_ERROR
    if isinstance(err, ssl.SSLCertVerificationError):
        return False
    # RuntimeError: the client got fewer bytes than it was promised
    return isinstance(err, (OSError, http.client.HTTPException, RuntimeError))


def _zero(offset: int, length: int, client: Client) -> None:
    client.zero(offset, length)


def _close(slot: _Slot) -> None:
    client, slot.client = slot.client, None
    if client is not None:
        with contextlib.suppress(Exception):
            client.close()
