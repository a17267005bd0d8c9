# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines for people, in virt-v2v's form, which scripts read and which therefore never changes.

Programs that supervise virt-v2v look for ``Copying disk 1/2``, for ``[  12.3] Finishing off`` and for
``42% [****----]``.
"""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Callable
from typing import TextIO

from v2v_cli.render.sanitize import sanitize
from v2v_core.errors import V2VError
from v2v_core.events import Event, EventKind, Step

_WRAP_COLUMN = 76
_BAR_LENGTH = 40
_GREEN, _BLUE, _PLAIN = "\x1b[32m", "\x1b[34m", "\x1b[0m"


class Plain:
    """Writes stage lines, infos and warnings to stdout, progress and debug messages to stderr.

    :param quiet: write no stage lines and no progress.
    :param progress: write lines of progress; False if progress bars show it.
    :param color: use ANSI colours.
    :param wrap: break lines at column 76.
    """

    def __init__(
        self,
        program: str,
        *,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        clock: Callable[[], float] = time.time,
        quiet: bool = False,
        verbose: bool = False,
        progress: bool = True,
        color: bool = False,
        wrap: bool = False,
    ) -> None:
        self._program = program
        self._stdout = stdout
        self._stderr = stderr
        self._start = clock()
        self._quiet = quiet
        self._verbose = verbose
        self._progress = progress and not quiet
        self._color = color
        self._wrap = wrap
        self._percent: dict[int | None, int] = {}
        # two steps that run at the same time report from two threads
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            self._show(event)

    def _show(self, event: Event) -> None:
        if event.kind is EventKind.MESSAGE:
            self._stage(event)
        elif event.kind is EventKind.INFO:
            self._say(f"{self._program}: {sanitize(event.text)}")
        elif event.kind is EventKind.WARNING:
            self._say(f"{self._program}: warning: {sanitize(event.text)}", _BLUE)
            if event.hint:
                self._say(f"hint: {sanitize(event.hint)}")
        elif event.kind is EventKind.PROGRESS:
            self._show_progress(event)
        else:
            if event.kind is EventKind.STEP_STARTED and event.step is Step.COPY:
                self._percent.clear()
            self._debug(event)

    def failed(self, error: V2VError) -> None:
        """Show nothing: ``exit.py`` writes the error."""

    def close(self) -> None:
        """Flush stdout."""
        (self._stdout or sys.stdout).flush()

    def _stage(self, event: Event) -> None:
        if self._quiet:
            return
        # the event may come from another process, whose clock was read before this renderer started
        elapsed = max(0.0, event.time - self._start)
        self._say(f"[{elapsed:6.1f}] {sanitize(event.text)}", _GREEN)

    def _show_progress(self, event: Event) -> None:
        if not self._progress or event.step is not Step.COPY or event.done is None:
            return
        if not event.total and event.done != event.total:
            return
        # of a disk without data, 0 bytes of 0 are copied
        percent = min(100, event.done * 100 // event.total) if event.total else 100
        if percent <= self._percent.get(event.disk, -1):
            # nothing new, or more to do came to light: a bar does not run backwards
            return
        self._percent[event.disk] = percent
        done = percent * _BAR_LENGTH // 100
        # one line each, without carriage returns, as these lines end up in log files
        stream = self._stderr or sys.stderr
        stream.write(f"  {percent:3d}% [{'*' * done}{'-' * (_BAR_LENGTH - done)}]\n")
        stream.flush()

    def _debug(self, event: Event) -> None:
        if not self._verbose:
            return
        about = f" disk {event.disk}" if event.disk is not None else ""
        log = f" (log: {sanitize(event.log)})" if event.log else ""
        text = f": {sanitize(event.text)}" if event.text else ""
        word = event.kind.value.replace("_", " ")
        stream = self._stderr or sys.stderr
        stream.write(f"{self._program}: debug: {word} {event.step.value}{about}{text}{log}\n")
        stream.flush()

    def _say(self, line: str, color: str = "") -> None:
        if self._wrap:
            line = textwrap.fill(line, _WRAP_COLUMN, break_long_words=False, break_on_hyphens=False)
        if self._color and color:
            line = f"{color}{line}{_PLAIN}"
        # looked up each time: while progress bars are shown, rich replaces sys.stdout
        stream = self._stdout or sys.stdout
        stream.write(line + "\n")
        stream.flush()
