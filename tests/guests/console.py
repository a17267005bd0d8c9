# SPDX-License-Identifier: GPL-2.0-or-later
"""The serial console of a running guest: what it has shown so far, and answers to what it asks."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from pathlib import Path


class Console:
    """A serial console that qemu writes to a file and reads from a socket.

    :param answers: what to type, with a newline after it, by the expression of the question; each one is answered once.
    """

    def __init__(self, work: Path, answers: Mapping[str, str]) -> None:
        self._log = work / "console.log"
        self._socket = work / "console"
        self._open = {re.compile(question): answer for question, answer in answers.items()}
        self._line: socket.socket | None = None
        self._log.touch()

    @property
    def options(self) -> list[str]:
        """Return qemu's options; without a listener the guest does not wait for one."""
        device = f"socket,id=console,path={self._socket},server=on,wait=off,logfile={self._log}"
        return ["-chardev", device, "-serial", "chardev:console"]

    def read(self) -> str:
        """Return the text so far, without the control sequences that a terminal would have eaten; answer it."""
        text = self._log.read_bytes().decode(errors="replace").replace("\r", "")
        text = re.sub(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[()][A-Z0-9]|[=>cM78])", "", text)
        for question in [question for question in self._open if question.search(text)]:
            self._type(self._open.pop(question) + "\n")
        self._drain()
        return text

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()

    def _type(self, text: str) -> None:
        if self._line is None:
            self._line = socket.socket(socket.AF_UNIX)
            self._line.connect(str(self._socket))
            self._line.setblocking(False)
        self._line.sendall(text.encode())

    def _drain(self) -> None:
        """Throw away what the file has as well: a listener who does not read would stop the guest."""
        if self._line is not None:
            with contextlib.suppress(BlockingIOError):
                while self._line.recv(65536):
                    pass
