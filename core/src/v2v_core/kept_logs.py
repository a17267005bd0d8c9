# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs of failed runs, kept when their conversion directory goes: in ``$XDG_STATE_HOME/v2v/logs``."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import Interrupted, UsageError

#: So many failed runs are kept; the oldest go first.
_KEPT = 20


def place() -> Path:
    """Give the directory that holds a directory of logs for each failed run."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return Path(state) / "v2v" / "logs"


def keep(directory: ConversionDir, error: BaseException) -> None:
    """Copy the logs and events of a failed run, and say in a note of the error where they are.

    Does its best: without space for logs, the error itself is still told.
    """
    # what pointed into the directory points to nothing soon
    error.__notes__ = []
    if isinstance(error, Interrupted | UsageError | KeyboardInterrupt | GeneratorExit):
        return
    kept = place() / directory.path.name
    with contextlib.suppress(OSError):
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(directory.path / "log", kept, dirs_exist_ok=True)
        kept.chmod(0o700)
        if directory.events.exists():
            shutil.copy(directory.events, kept)
        error.add_note(f"logs: {kept}")
        runs = sorted((path for path in kept.parent.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
        for old in runs[:-_KEPT]:
            shutil.rmtree(old)
