# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts an NBD server and waits until it serves its disk. ``processes.stop`` stops it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CommandError
from v2v_core.nbd_uri import nbd_uri, size_of
from v2v_core.processes import SERVER_VARIABLE
from v2v_core.programs import require_program

#: Seconds within which a server must serve its disk. Those of remote sources log in first.
_START_LIMIT = 60.0
#: nbdkit 1.32 asks to be stopped when its parent ends, whether --exit-with-parent is given or not (PR_SET_PDEATHSIG in
#: prctl(2)). A server must outlive the step that started it, so it gets a parent that lives as long as it does.
_KEEPER = ("/bin/sh", "-c", '"$@" & wait "$!"', "sh")
#: nbdkit's errors, which may have the name of the plugin and the number of the connection in front of them.
_ERROR_LINE = re.compile(r"^nbdkit: (?:[\w.\[\]-]+: )?error: (.+)$", re.MULTILINE)
#: Errors that explain nothing: the first line of a traceback, and a client that has disconnected.
_NO_REASON = re.compile(r"Traceback \(most recent call last\):$|^(?:read request|read data|write reply|write data): ")


def start_server(
    directory: ConversionDir,
    name: str,
    argv: Sequence[str],
    socket: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Start an NBD server on a socket, in a session of its own, and return the size of its disk in bytes.

    The server outlives this process. The cleanup of the directory stops it.

    :raises CommandError: it did not start; the error has the end of its log.
    """
    socket.unlink(missing_ok=True)
    environ = {
        **os.environ,
        **(environment or {}),
        "LC_ALL": "C",
        **directory.environment,
        SERVER_VARIABLE: name,
    }
    own_log = _log_of(directory, name)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # posix_spawn and not Popen, because this process does not wait for the server to end
    program = [require_program(argv[0]), *argv[1:]]
    if argv[0] == "nbdkit":
        program = [*_KEEPER, *program]
    pid = os.posix_spawn(
        program[0],
        program,
        environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(own_log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGINT, signal.SIGPIPE, signal.SIGTERM, signal.SIGHUP],
    )
    deadline = time.monotonic() + _START_LIMIT
    while True:
        ended, status = _ended(pid)
        if ended:
            raise CommandError(argv, status, _tail(own_log))
        if socket.exists():
            try:
                return size_of(nbd_uri(socket), timeout=_START_LIMIT)
            except CommandError as err:
                # refused: the socket is bound and not yet listening; anything else is final unless the server is ending
                if "refused" not in err.stderr_tail.lower():
                    time.sleep(0.2)
                    ended, status = _ended(pid)
                    with contextlib.suppress(OSError):
                        os.killpg(pid, signal.SIGTERM)
                    raise CommandError(argv, status, _tail(own_log) or err.stderr_tail) from err
        if time.monotonic() > deadline:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            raise CommandError(argv, None, f"it did not serve within {_START_LIMIT:.0f} seconds; {_tail(own_log)}")
        time.sleep(0.01)


def last_error(directory: ConversionDir, name: str) -> str | None:
    """Return the last error in the log of a server, or None if it holds none in the format of nbdkit."""
    errors = [line for line in _ERROR_LINE.findall(_tail(_log_of(directory, name))) if not _NO_REASON.search(line)]
    return errors[-1].strip() if errors else None


def _log_of(directory: ConversionDir, name: str) -> Path:
    return directory.path / "log" / f"server-{name}.log"


def _ended(pid: int) -> tuple[bool, int | None]:
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return True, None
    return done != 0, os.waitstatus_to_exitcode(status) if done else None


def _tail(log: Path) -> str:
    try:
        return log.read_bytes()[-4000:].decode("utf-8", "replace").strip()
    except OSError:
        return ""
