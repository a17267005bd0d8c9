# SPDX-License-Identifier: GPL-2.0-or-later
"""Free space where temporary files go."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from v2v_core.conversion_dir import large_temporary
from v2v_core.finding import Finding, Status
from v2v_core.space import DIRECTORY_NEEDED, OVERLAY_NEEDED

_GIB = 1024**3
_MIB = 1024**2


def probe_space() -> Iterator[Finding]:
    """Check the directories for large and for small temporary files."""
    cache = os.environ.get("LIBGUESTFS_CACHEDIR") or "/var/tmp"  # noqa: S108
    small = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108
    yield _look("space for overlays", large_temporary(), OVERLAY_NEEDED, "VIRT_V2V_TMPDIR")
    yield _look("space for the appliance", Path(cache), _GIB // 2, "LIBGUESTFS_CACHEDIR")
    yield _look("space for conversion directories", Path(small), DIRECTORY_NEEDED, "TMPDIR")


def _look(name: str, place: Path, needed: int, variable: str) -> Finding:
    remedy = f"set {variable} to a directory that can be written and has {needed // _MIB} MiB"
    try:
        free = shutil.disk_usage(place).free
    except OSError as err:
        return Finding(name, Status.BROKEN, f"{place}: {err.strerror}", remedy)
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding(name, Status.BROKEN, f"{place} cannot be written by this user", remedy)
    if free < needed:
        return Finding(name, Status.BROKEN, f"{place} has {free // _MIB} MiB, {needed // _MIB} are needed", remedy)
    return Finding(name, Status.OK, f"{place} has {free / _GIB:.1f} GiB")
