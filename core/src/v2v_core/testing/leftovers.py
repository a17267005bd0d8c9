# SPDX-License-Identifier: GPL-2.0-or-later
"""Finds processes that a test left behind, by a mark in their environment, which children inherit."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

#: What the processes of a test carry in their environment.
VARIABLE = "V2V_TEST_MARK"


def marked_processes(mark: str) -> dict[int, str]:
    """Return the command lines of the processes of a test by process id, except for this process."""
    word = os.fsencode(f"{VARIABLE}={mark}")
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if word in (entry / "environ").read_bytes().split(b"\0"):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                found[int(entry.name)] = b" ".join(words).decode("utf-8", "replace").strip()
    return found


def still_there(mark: str, *, seconds: float) -> dict[int, str]:
    """Wait until the processes of a test have ended, and return those that have not in time."""
    deadline = time.monotonic() + seconds
    while True:
        left = marked_processes(mark)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.02)
