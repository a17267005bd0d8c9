# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence: a copy process that was frozen must write nothing after another one has taken the directory over.

``copy/epoch`` of the conversion directory holds a number that each take-over increments. A copy process was started
under a number, and looks again before it connects, before it writes down progress, and at least every second.
"""

from __future__ import annotations

from pathlib import Path

from v2v_core.atomic import write_atomically

_NAME = "epoch"
_LONGEST = 32


def current(place: Path) -> int:
    """Return the epoch of a directory of copies; 0 if it was never raised."""
    try:
        with (place / _NAME).open("rb") as stream:
            return int(stream.read(_LONGEST))
    except (OSError, ValueError):
        # a directory that is gone is fenced by ``holds``
        return 0


def raise_epoch(place: Path) -> int:
    """Begin a new epoch, durably, and return it: what was started earlier is fenced off."""
    place.mkdir(mode=0o700, exist_ok=True)
    epoch = current(place) + 1
    write_atomically(place / _NAME, str(epoch).encode())
    return epoch


def holds(place: Path, epoch: int) -> bool:
    """Return whether a process of an epoch may still write."""
    return place.is_dir() and current(place) == epoch
