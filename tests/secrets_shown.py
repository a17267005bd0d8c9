# SPDX-License-Identifier: GPL-2.0-or-later
"""Where every user of a machine, or whoever reads logs, could see a secret."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


def in_processes(secret: str) -> set[str]:
    """List the argument lists and environments of all processes that hold a secret."""
    found = set()
    for entry in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if not entry.isdigit():
            continue
        for place in ("cmdline", "environ"):
            with contextlib.suppress(OSError):
                data = Path("/proc", entry, place).read_bytes()
                if secret.encode() in data:
                    found.add(f"{place} of {data[:80]!r}")
    return found


@contextlib.contextmanager
def watched(secret: str, seconds: float = 0.02) -> Iterator[set[str]]:
    """Look again and again while something runs; what was found is there at the end."""
    found: set[str] = set()
    stopped = threading.Event()

    def look() -> None:
        while not stopped.wait(seconds):
            found.update(in_processes(secret))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield found
    finally:
        stopped.set()
        looking.join()


def in_files(directory: Path, secret: str) -> list[Path]:
    """List the files below a directory that hold a secret."""
    holding = []
    for path in directory.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
                holding.append(path)
    return sorted(holding)
