# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a run left processes behind: by the mark in their environment, whichever directory it names."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from v2v_core.processes import DIRECTORY_VARIABLE


def marked_processes() -> dict[int, str]:
    """Give the command lines of all processes of all runs, by process id; this process left out."""
    mark = os.fsencode(f"{DIRECTORY_VARIABLE}=")
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(word.startswith(mark) for word in (entry / "environ").read_bytes().split(b"\0")):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found[int(entry.name)] = b" ".join(words).decode("utf-8", "replace").strip()
    return found


def still_there(pids: Iterable[int], *, seconds: float) -> dict[int, str]:
    """Wait until processes are gone; give those that are not."""
    wanted = set(pids)
    deadline = time.monotonic() + seconds
    while True:
        left = {pid: line for pid, line in marked_processes().items() if pid in wanted}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)
