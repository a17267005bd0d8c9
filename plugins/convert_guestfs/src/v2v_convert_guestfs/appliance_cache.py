# SPDX-License-Identifier: GPL-2.0-or-later
"""The appliance that libguestfs has built from the files of the host and keeps for the next run (guestfs(3))."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from v2v_convert_guestfs.appliance_console import Console

#: Where libguestfs keeps it, unless LIBGUESTFS_CACHEDIR says otherwise.
CACHE = "/var/tmp"  # noqa: S108 - libguestfs makes a directory of this user's own in it, and checks that it is


def broken_cache(handle: Any, console: Console, error: RuntimeError) -> Path | None:
    """Return the directory of the appliance that did not start, if one that is built anew may start.

    That is not so if the appliance was installed ready-made, if building it failed, or if qemu refused a disk.
    """
    directory = Path(handle.get_cachedir()) / f".guestfs-{os.geteuid()}"
    if ready_made_appliance(str(handle.get_path())) or "supermin" in str(error) or console.blames_qemu(directory):
        return None
    return directory


def ready_made_appliance(path: str) -> str | None:
    """Return the directory of a ready-made appliance, which nothing builds, if there is one on libguestfs's path."""
    return next((place for place in path.split(":") if place and (Path(place) / "README.fixed").exists()), None)
