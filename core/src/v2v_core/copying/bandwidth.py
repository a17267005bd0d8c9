# SPDX-License-Identifier: GPL-2.0-or-later
"""A limit of the rate at which all disks of a run are copied together, shared by the copy processes through a file."""

from __future__ import annotations

from pathlib import Path


class Bandwidth:
    """Holds back a copy process so that all of them together stay below the rate."""

    def __init__(self, shared: Path | None) -> None:
        """Open the shared file; None for no limit."""
        raise NotImplementedError

    def wait_for(self, count: int) -> None:
        """Wait until ``count`` more bytes may be read."""
        raise NotImplementedError
