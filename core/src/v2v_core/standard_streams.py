# SPDX-License-Identifier: GPL-2.0-or-later
"""stdin, stdout and stderr that are always there and never raise, so that no reader and no terminal can end a run.

A program may be started with any of them closed (``>&-``), its reader may end (``| head -1``), and what they lead to
may be full. None of this concerns the conversion and its cleanup.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

#: Errors for which output was lost. A reader that has ended is none: it had enough.
_lost: list[OSError] = []


class _Unfailing(io.FileIO):
    """A file descriptor that takes everything. The first error is kept, and what follows is dropped."""

    def __init__(self, descriptor: int, *, is_output: bool, closefd: bool = False) -> None:
        super().__init__(descriptor, "w", closefd=closefd)
        self._is_output = is_output
        self.failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write the data; pretend that all of it was written once that has failed."""
        view = memoryview(data).cast("B")
        done = 0
        while self.failure is None and done < len(view):
            try:
                written = super().write(view[done:])
                if written is None:
                    # another program has put the terminal or the pipe, which we share, into non-blocking mode
                    select.select([], [self], [])
                else:
                    done += written
            except OSError as err:
                self.failure = err
                if self._is_output and err.errno != errno.EPIPE:
                    _lost.append(err)
        return len(view)


def make_unfailing() -> None:
    """Open the standard streams that are closed, and let stdout and stderr never raise from now on.

    A closed one becomes /dev/null. Left closed, its number would be given to the next file that is opened, and
    whatever a program prints would be written into that file.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # the lowest free number, and so this one
            os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _unfailing(sys.stdout, 1)
    sys.stderr = _unfailing(sys.stderr, 2)


def exit_code_after_output(program: str, code: int = 0) -> int:
    """Return the exit code of a command whose result is what it prints: 1 with a line on stderr if that was lost."""
    with contextlib.suppress(OSError, ValueError):
        # a stream of another program, which imports this one, may raise an error
        sys.stdout.flush()
    if code or not _lost:
        return code
    sys.stderr.write(f"{program}: error: the output cannot be written: {_lost[0].strerror}\n")
    return 1


def like(stream: TextIO, descriptor: int) -> TextIO:
    """Return a stream for another descriptor, which it closes, that takes everything if ``stream`` does."""
    if isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _Unfailing):
        raw = _Unfailing(descriptor, is_output=True, closefd=True)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors)
    return os.fdopen(descriptor, "w", encoding=stream.encoding, errors=stream.errors)


def print_alone(program: str, text: str) -> int:
    """Print what is all that a command has to print, and return its exit code."""
    make_unfailing()
    sys.stdout.write(text)
    return exit_code_after_output(program)


def _unfailing(stream: Any, descriptor: int) -> Any:
    if stream is None:
        stream = os.fdopen(descriptor, "w", encoding="utf-8", closefd=False)
    # exactly the interpreter's own: a test or a program that has put another stream there wants what is written
    if type(stream) is not io.TextIOWrapper:
        return stream
    # python -u has no buffer
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if type(raw) is not io.FileIO or raw.fileno() != descriptor:
        return stream
    try:
        stream.flush()
    except OSError:
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Unfailing(descriptor, is_output=descriptor == 1)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or stream.write_through,
    )
