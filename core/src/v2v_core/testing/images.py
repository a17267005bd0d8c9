# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognisable contents of disks, and fingerprints of files."""

from __future__ import annotations

import hashlib
import stat
from pathlib import Path

_SECTOR = 512


def numbered_sectors(size: int) -> bytes:
    """Return a content in which every fourth sector is zeros, and all others differ from each other."""
    sectors = (
        bytes(_SECTOR) if number % 4 == 3 else number.to_bytes(8, "big").ljust(_SECTOR, b"v")
        for number in range(size // _SECTOR)
    )
    return b"".join(sectors)


def fingerprint(path: Path) -> tuple[str, int, int, int]:
    """Return the SHA-256 of a file, its mode, its size in bytes and its time of modification in nanoseconds."""
    status = path.stat()
    return (
        hashlib.sha256(path.read_bytes()).hexdigest(),
        stat.S_IMODE(status.st_mode),
        status.st_size,
        status.st_mtime_ns,
    )


def tree_of(place: Path) -> dict[str, object]:
    """Return the absolute path of everything below a directory, each with a value that shows whether it was changed."""
    tree: dict[str, object] = {}
    for path in sorted(place.rglob("*")):
        if path.is_symlink():
            tree[str(path)] = str(path.readlink())
        elif path.is_file():
            tree[str(path)] = fingerprint(path)
        else:
            tree[str(path)] = path.stat().st_mode
    return tree
