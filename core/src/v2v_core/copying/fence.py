# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence: a copy process that was frozen must write nothing after another one has taken the directory over.

``copy/epoch`` of the conversion directory holds a number that each take-over increments. A copy process was started
under a number, and looks again before it connects, before it writes down progress, and at least every second.
"""

from __future__ import annotations

from pathlib import Path


def current(place: Path) -> int:
    """Return the epoch of a directory of copies; 0 if nothing was ever copied there."""
    raise NotImplementedError


def raise_epoch(place: Path) -> int:
    """Begin a new epoch, durably, and return it: what was started earlier is fenced off."""
    raise NotImplementedError


def holds(place: Path, epoch: int) -> bool:
    """Return whether a process of an epoch may still write."""
    raise NotImplementedError
