# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence: a copy process that was frozen must write nothing after another one has taken the directory over.

``copy/epoch`` of the conversion directory holds a number that each take-over increments. A copy process was started
under a number, and looks again before it connects, before it writes down progress, and at least every second.
"""

from __future__ import annotations

from pathlib import Path

from v2v_core.atomic import write_atomically
from v2v_core.errors import V2VError

_FILE = "epoch"
#: Bytes; the file holds one number, and is not read further than this.
_LONGEST = 32


def current(place: Path) -> int:
    """Return the epoch of a directory of copies; 0 if nothing was ever copied there.

    :raises V2VError: the file is damaged.
    """
    try:
        with (place / _FILE).open("rb") as stream:
            text = stream.read(_LONGEST + 1)
    except FileNotFoundError:
        return 0
    # a file that is guessed at would let an old process write
    if len(text) > _LONGEST or not text.strip().isdigit():
        raise V2VError(f"{place / _FILE} is damaged: it holds no number", hint="begin again with a new directory")
    return int(text)


def raise_epoch(place: Path) -> int:
    """Begin a new epoch, durably, and return it: what was started earlier is fenced off.

    :raises V2VError: the file is damaged.
    """
    epoch = current(place) + 1
    write_atomically(place / _FILE, b"%d\n" % epoch)
    return epoch


def holds(place: Path, epoch: int) -> bool:
    """Return whether a process of an epoch may still write. It may not where the directory is gone or damaged."""
    try:
        return place.is_dir() and current(place) == epoch
    except (V2VError, OSError):
        return False
