# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard output for the program alone: what a plugin, a library or a child prints goes to standard error.

Programs read standard output: JSON lines, names of what was created. One ``print()`` of a plugin, or one line of a
child that has inherited file descriptor 1, makes them unreadable. So a program takes its standard output when it
begins to work. It writes to the stream that it gets; file descriptor 1 and ``sys.stdout`` lead to standard error.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import sys
from typing import TextIO

from v2v_core.standard_streams import like

#: The stream of our own, while this program has taken standard output.
_own: list[TextIO] = []
#: The lowest number for the descriptor of our own, beyond those that a supervisor may pass.
_FIRST_FREE = 10


def take() -> TextIO:
    """Take standard output for this program, and return the stream that leads there. A second call changes nothing."""
    if not _own and isinstance(sys.stdout, io.TextIOWrapper) and _is_real(sys.stdout):
        sys.stdout.flush()
        number = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
        _own.append(like(sys.stdout, number))
        try:
            os.dup2(2, 1)
        except OSError:
            # standard error is closed
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.close(null)
        sys.stdout.reconfigure(line_buffering=True)
    return stdout()


def stdout() -> TextIO:
    """Return the stream that leads to standard output."""
    return _own[0] if _own else sys.stdout


def give_back() -> None:
    """Let file descriptor 1 lead to standard output again.

    :raises OSError: what was written last cannot be written out.
    """
    if not _own:
        return
    own = _own.pop()
    try:
        sys.stdout.flush()
        own.flush()
    finally:
        os.dup2(own.fileno(), 1)
        # what could not be written out before cannot be written out now either
        with contextlib.suppress(OSError, ValueError):
            own.close()


def _is_real(stream: TextIO) -> bool:
    """Return whether a stream is file descriptor 1, and not one that a test or another program has put there."""
    try:
        return stream.fileno() == 1
    except (OSError, ValueError):
        return False
