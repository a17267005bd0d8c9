# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk contents that are recognised again, and fingerprints of files."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

_SECTOR = 512


def numbered_sectors(size: int) -> bytes:
    """Give a content in which every sector differs from every other, with holes in between (every fourth is zeros)."""
    sectors = (
        bytes(_SECTOR) if number % 4 == 3 else number.to_bytes(8, "big").ljust(_SECTOR, b"v")
        for number in range(size // _SECTOR)
    )
    return b"".join(sectors)


def fingerprint(path: Path) -> tuple[str, int, int, int]:
    """Give the SHA-256 of a file, its mode, its size and its time of modification."""
    status = path.stat()
    return (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        stat.S_IMODE(status.st_mode),
        status.st_size,
        status.st_mtime_ns,
    )


def tree_of(place: Path) -> dict[str, object]:
    """Give everything below a directory: absolute paths with what tells whether they were changed."""
    found: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        if path.is_symlink():
            found[str(path)] = str(path.readlink())
        elif path.is_file():
            found[str(path)] = fingerprint(path)
        else:
            found[str(path)] = path.stat().st_mode
    return found
