# SPDX-License-Identifier: GPL-2.0-or-later
"""The mounts of a run: found by where they are, below the conversion directory, and gone before it is removed.

Nothing has to be recorded before something is mounted, and a cleanup after ``kill -9`` finds all of them. What is on a
mounted file system is never a temporary file of the run, whoever mounted it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from v2v_core.errors import V2VError
from v2v_core.programs import run_program

_ESCAPED = re.compile(rb"\\([0-7]{3})")
#: Seconds; a file server that does not answer must not keep a cleanup from ending.
_PATIENCE = 60.0


def mounts_below(directory: Path) -> tuple[Path, ...]:
    """List what is mounted somewhere below a directory, the innermost first; the directory itself may be a mount."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    # the fifth field, with blanks and their like as octal numbers: proc(5)
    fields = (_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in lines)
    points = (Path(os.fsdecode(field)) for field in fields)
    # what was mounted later comes later, and may lie on top of what is at the same place
    return tuple(reversed([point for point in points if directory in point.parents]))


def unmount(point: Path) -> None:
    """Unmount a file system; if it is in use, or its server does not answer, take it out of the tree of files.

    :raises V2VError: not even that was possible.
    """
    try:
        run_program(["umount", str(point)], timeout=_PATIENCE)
    except V2VError:
        run_program(["umount", "-l", str(point)], timeout=_PATIENCE)


def unmount_below(directories: Iterable[Path]) -> None:
    """Unmount whatever is mounted below directories.

    :raises V2VError: something is still mounted.
    """
    for directory in directories:
        for point in mounts_below(directory):
            unmount(point)
