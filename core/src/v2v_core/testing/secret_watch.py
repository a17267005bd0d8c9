# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks for a secret where other users of the machine, or readers of logs, would find it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


def processes_with_secret(secret: str) -> set[str]:
    """Return the argument lists and environments of all processes, as far as readable, that contain a secret."""
    showing = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if not entry.isdigit():
            continue
        for place in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                data = Path("/proc", entry, place).read_bytes()
                if secret.encode() in data:
                    showing.add(f"{place} of {data[:80]!r}")
    return showing


@contextlib.contextmanager
def watch_for_secret(secret: str, seconds: float = 0.02) -> Iterator[set[str]]:
    """Look through all processes again and again while the block runs.

    The set is filled meanwhile with what ``processes_with_secret`` returns; it is complete when the block has ended.

    :param seconds: time between two searches.
    """
    showing: set[str] = set()
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(seconds):
            showing.update(processes_with_secret(secret))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield showing
    finally:
        stopped.set()
        looking.join()


def files_with_secret(directory: Path, secret: str) -> list[Path]:
    """Return the regular files below a directory that contain a secret, sorted; symbolic links are not followed."""
    holding = []
    for path in directory.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
                holding.append(path)
    return sorted(holding)
