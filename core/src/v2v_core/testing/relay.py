# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP relay between a client and a server on loopback, whose connections a test can break."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class Relay:
    """A relay to a port on loopback; ``relay_to`` runs one.

    :param target: the server's port. :param port: the relay's own port, to which clients connect.
    :param sent: bytes that clients have sent so far. :param connections: connections that were made so far.
    :param at: pairs of a number of bytes and a function, which is called once, as soon as so many bytes were sent.
    """

    target: int
    port: int = 0
    sent: int = 0
    connections: int = 0
    at: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    _open: set[socket.socket] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _refusing: bool = False

    def cut(self, *, seconds: float) -> None:
        """Break every connection, and refuse new ones for a number of seconds."""
        self._refusing = True
        self._break()
        timer = threading.Timer(seconds, self._mend)
        timer.daemon = True
        timer.start()

    def _mend(self) -> None:
        self._refusing = False

    def _break(self) -> None:
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            if self._refusing:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.connections += 1
            with self._lock:
                self._open |= {near, far}
            for source, drain, counted in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, drain, counted), daemon=True).start()

    def _pump(self, source: socket.socket, drain: socket.socket, counted: bool) -> None:
        try:
            while data := source.recv(256 * 1024):
                drain.sendall(data)
                if counted:
                    self._count(len(data))
        except OSError:
            pass
        finally:
            for end in (source, drain):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(source)
            source.close()

    def _count(self, length: int) -> None:
        with self._lock:
            self.sent += length
            due = [happen for limit, happen in self.at if limit <= self.sent]
            self.at = [(limit, happen) for limit, happen in self.at if limit > self.sent]
        for happen in due:
            happen()


@contextlib.contextmanager
def relay_to(port: int) -> Iterator[Relay]:
    """Run a relay to a port on loopback while the block runs. At its end, break all connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        relay = Relay(port, int(listener.getsockname()[1]))
        thread = threading.Thread(target=relay._serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield relay
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            relay._break()
            thread.join()
