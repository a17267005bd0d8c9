# SPDX-License-Identifier: GPL-2.0-or-later
"""Watches the appliance's qemu while libguestfs waits for it, and ends it when it cannot go on.

qemu connects to a socket of ours with its monitor (``-qmp``). A thread reads what it reports and asks how it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import threading
from pathlib import Path

from v2v_convert_guestfs.appliance_health import Health

#: Seconds between two questions.
_INTERVAL = 5
#: Bytes of a message. The longest that are expected, the counts of 250 disks, have a quarter of that.
_LONGEST = 1024 * 1024
_NAME = "monitor"
_QUESTIONS = b'{"execute": "query-status"}\n{"execute": "query-blockstats"}\n'
_COUNT = b'{"execute": "query-blockstats"}\n'


class Watch:
    """A socket for the monitor of one appliance, and the thread that listens there.

    :param directory: for the socket; no other user may be able to open it.
    :raises OSError: the socket cannot be made.
    """

    def __init__(self, directory: Path, health: Health) -> None:
        self.health = health
        self._process: int | None = None
        self._pid = 0
        # Through the descriptor, because the path of a socket has at most 107 bytes (unix(7)), and because a comma in
        # it would have a meaning for qemu.
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.socket = f"/proc/{os.getpid()}/fd/{self._directory}/{_NAME}"
        self._ended, self._wake = os.pipe()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._unlink()
            self._listener.bind(self.socket)
            self._listener.listen(1)
        except OSError:
            self._close()
            raise
        self._thread = threading.Thread(target=self._watch, name="appliance-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, after it has heard what qemu said last. The appliance has ended by now, or is of no use."""
        if self._process is not None:
            # What it reported before its end is in the socket, and then comes the end of the connection.
            self._thread.join(timeout=2)
        with contextlib.suppress(OSError):
            os.write(self._wake, b".")
        self._thread.join()
        self._close()

    def _close(self) -> None:
        self._listener.close()
        self._unlink()
        for descriptor in (self._directory, self._ended, self._wake, self._process):
            if descriptor is not None:
                os.close(descriptor)

    def _unlink(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_NAME, dir_fd=self._directory)

    def _watch(self) -> None:
        select.select([self._listener.fileno(), self._ended], [], [])
        with contextlib.suppress(OSError):
            self._listener.settimeout(0)
            connection, _address = self._listener.accept()
            with connection:
                self._pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                self._process = os.pidfd_open(self._pid)
                self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        received, seconds = b"", 0
        self._say(connection, b'{"execute": "qmp_capabilities"}\n')
        while True:
            readable = select.select([connection.fileno(), self._ended], [], [], 1.0)[0]
            if self._ended in readable:
                return
            if readable:
                data = connection.recv(65536)
                if not data:
                    return
                *lines, received = (received + data).split(b"\n")
                for line in lines:
                    self._hear(connection, line)
                received = received[-_LONGEST:]
            else:
                seconds += 1
                self.health.tick(stopped=self._is_stopped())
                if seconds % _INTERVAL == 0:
                    self._say(connection, _QUESTIONS)
            if self.health.failure is not None:
                self._kill()

    def _hear(self, connection: socket.socket, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict):
            self.health.hear(message)
            if message.get("event") == "BLOCK_IO_ERROR":
                self._say(connection, _COUNT)

    def _say(self, connection: socket.socket, words: bytes) -> None:
        # A qemu that was stopped reads nothing. Its questions are few and fit into the socket.
        with contextlib.suppress(BlockingIOError):
            connection.send(words)

    def _is_stopped(self) -> bool:
        try:
            stat = Path(f"/proc/{self._pid}/stat").read_text(errors="replace")
        except OSError:
            return False
        return stat.rpartition(") ")[2][:1] in {"T", "t"}

    def _kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
