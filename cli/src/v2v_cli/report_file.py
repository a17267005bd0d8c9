# SPDX-License-Identifier: GPL-2.0-or-later
"""The file that ``--report`` names: found to be writable before anything begins, written all or nothing at the end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from v2v_core.atomic import write_atomically
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.reporting import forward

#: In place of a file name.
STDOUT = Path("-")
_JSON = ".json"
_HINT = "name a file in a directory that can be written, or '-' for the standard output"


def checked(path: Path | None, sources: Iterable[str] = ()) -> Path | None:
    """Give the absolute path of the file after finding out that it can be written; nothing is left there.

    :param sources: what is to be converted: a slip of the hand must not replace it.
    :raises UsageError: it cannot.
    """
    if path is None or path == STDOUT:
        return path
    real = Path(os.path.realpath(path.expanduser()))
    # it is replaced as a whole: no device, and not /dev/stdout, which may lead to a file that somebody writes
    descriptor = os.path.realpath(path.parent).startswith("/proc/") or (
        path.is_symlink() and str(path.readlink()).startswith("/proc/")
    )
    if descriptor or (real.exists() and not real.is_file()):
        raise UsageError(f"--report: {path} is not a regular file", hint=_HINT)
    if real in {Path(os.path.realpath(name)) for name in sources}:
        raise UsageError(f"--report: {path} is what is to be converted", hint=_HINT)
    if real.exists() and not os.access(real, os.W_OK):
        raise UsageError(f"--report: {path} cannot be written", hint=_HINT)
    try:
        # without a name, where the file system can do that: whoever is killed here leaves nothing
        with tempfile.TemporaryFile(dir=real.parent):
            return real
    except OSError as err:
        raise UsageError(f"--report: {path} cannot be written: {err.strerror}", hint=_HINT) from err


def write(directory: ConversionDir, path: Path | None, sinks: Sequence[EventSink]) -> None:
    """Write the report of the run so far, if one was asked for; never raises, what fails is a warning."""
    if path is None:
        return
    from v2v_cli.render.report import report_as_json, report_as_text
    from v2v_core.run_report import read_report

    try:
        report = read_report(directory.path)
        text = report_as_json(report) if path.suffix.lower() == _JSON else report_as_text(report)
        if path == STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_atomically(path, text.encode())
    except Exception as err:
        # whatever it is: what comes next is the cleanup
        reason = f"the report cannot be written to {path}: {err}"
        forward(Event(kind=EventKind.WARNING, step=Step.CLEANUP, text=reason), sinks)
