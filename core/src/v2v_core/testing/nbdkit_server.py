# SPDX-License-Identifier: GPL-2.0-or-later
"""Running the nbdkit server that a plugin describes, without core's overlay on it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from v2v_core.model import NbdkitPlugin
from v2v_core.serving.nbdkit import nbdkit_argv, secrets_in_files

#: Seconds until the server must listen.
_START_LIMIT = 60.0


@dataclass(frozen=True)
class NbdkitServer:
    """A running server: the Unix socket that it listens on, and its process."""

    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def uri(self) -> str:
        """Return the NBD URI of the disk."""
        return f"nbd+unix:///?socket={self.socket}"


@contextlib.contextmanager
def running_nbdkit(service: NbdkitPlugin, directory: Path) -> Iterator[NbdkitServer]:
    """Run a server read-only, with the command line and the environment that core gives it.

    The block runs even if the server has ended at once, so that a test can look at its exit code.

    :param directory: for the socket and the files with secrets; its path must be short, and it must exist.
    """
    secrets, socket = directory / "secrets", directory / "socket"
    secrets.mkdir(mode=0o700, exist_ok=True)
    written = secrets_in_files(service, secrets, "nbdkit")
    assert isinstance(written, NbdkitPlugin)
    argv = nbdkit_argv(written, socket, readonly=True)
    process = subprocess.Popen(argv, env={**os.environ, **dict(service.environment)})
    try:
        deadline = time.monotonic() + _START_LIMIT
        while not socket.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield NbdkitServer(socket, process)
    finally:
        process.terminate()
        process.wait(20)
