# SPDX-License-Identifier: GPL-2.0-or-later
"""The mounts of a run: whatever is mounted below the conversion directory. They are unmounted before it is removed.

So no mount has to be recorded, and a cleanup after ``kill -9`` finds all of them. A file on a mounted file system is
never a temporary file of the run, whichever program mounted it.
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
    """Return the mount points below a directory, the innermost first; the directory itself is not one of them."""
    lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    # proc(5): the mount point is the fifth field, and has blanks and some other characters as octal numbers
    fields = (_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), line.split(b" ")[4]) for line in lines)
    points = (Path(os.fsdecode(field)) for field in fields)
    # later mounts come later in the file, and may cover earlier ones at the same place
    return tuple(reversed([point for point in points if directory in point.parents]))


def unmount(point: Path) -> None:
    """Unmount a file system. If it is in use, or its server does not answer, detach it (umount -l).

    :raises V2VError: it could not be detached either.
    """
    try:
        run_program(["umount", str(point)], timeout=_PATIENCE)
    except V2VError:
        run_program(["umount", "-l", str(point)], timeout=_PATIENCE)


def unmount_below(directories: Iterable[Path]) -> None:
    """Unmount everything that is mounted below these directories.

    :raises V2VError: a file system could not be unmounted.
    """
    for directory in directories:
        for point in mounts_below(directory):
            unmount(point)
