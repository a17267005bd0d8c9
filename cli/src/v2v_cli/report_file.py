# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of ``--report``: checked before the run begins, and written at the end, as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from v2v_core import own_stdout
from v2v_core.atomic import write_atomically
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.reporting import forward

#: The name that stands for standard output.
STDOUT = Path("-")
_JSON = ".json"
_HINT = "name a file in a directory that can be written, or '-' for the standard output"


def checked(path: Path | None, sources: Iterable[str] = ()) -> Path | None:
    """Check that the file can be written, and return its absolute path. Nothing is left there.

    :param sources: the guest to convert, which a typing error must not replace.
    :raises UsageError: the file cannot be written.
    """
    if path is None or path == STDOUT:
        return path
    real = Path(os.path.realpath(path.expanduser()))
    # the file is replaced as a whole: not a device, and not /dev/stdout, which may lead to a file that is in use
    descriptor = os.path.realpath(path.parent).startswith("/proc/") or (
        path.is_symlink() and str(path.readlink()).startswith("/proc/")
    )
    if descriptor or (real.exists() and not real.is_file()):
        raise UsageError(f"--report: {path} is not a regular file", hint=_HINT)
    if real in {Path(os.path.realpath(name)) for name in sources}:
        raise UsageError(f"--report: {path} is the guest to convert", hint=_HINT)
    if real.exists() and not os.access(real, os.W_OK):
        raise UsageError(f"--report: {path} cannot be written", hint=_HINT)
    try:
        # a file without a name, if the file system has those: nothing is left if the program is killed here
        with tempfile.TemporaryFile(dir=real.parent):
            return real
    except OSError as err:
        raise UsageError(f"--report: {path} cannot be written: {err.strerror}", hint=_HINT) from err


def write(directory: ConversionDir, path: Path | None, sinks: Sequence[EventSink]) -> None:
    """Write the report of the run so far, if the user asked for one. A failure becomes a warning, not an exception."""
    if path is None:
        return
    from v2v_cli.render.report import report_as_json, report_as_text
    from v2v_core.run_report import read_report

    try:
        report = read_report(directory.path)
        text = report_as_json(report) if path.suffix.lower() == _JSON else report_as_text(report)
        if path == STDOUT:
            own_stdout.stdout().write(text)
            own_stdout.stdout().flush()
        else:
            write_atomically(path, text.encode())
    except Exception as err:
        # any failure: the cleanup comes next, and must not be prevented
        reason = f"the report cannot be written to {path}: {err}"
        forward(Event(kind=EventKind.WARNING, step=Step.CLEANUP, text=reason), sinks)
