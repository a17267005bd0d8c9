# SPDX-License-Identifier: GPL-2.0-or-later
"""Remember which images were downloaded as a whole, so that a set-up that is run again downloads the others only."""

from __future__ import annotations

import json
from pathlib import Path

from v2v_core.api import write_atomically


def is_whole(image: Path, version: str, size: int) -> bool:
    """Return whether an image holds a version of a disk.

    :param size: bytes of the disk.
    """
    try:
        return json.loads(_note(image).read_bytes()) == {"version": version} and image.stat().st_size == size
    except (OSError, ValueError):
        return False


def mark_whole(image: Path, version: str) -> None:
    """Note that an image, which is on the disk, holds a version."""
    write_atomically(_note(image), json.dumps({"version": version}).encode())


def unmark(image: Path) -> None:
    """Forget what an image holds, before it is written to."""
    _note(image).unlink(missing_ok=True)


def _note(image: Path) -> Path:
    return image.with_suffix(".json")
