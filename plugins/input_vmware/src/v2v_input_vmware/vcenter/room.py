# SPDX-License-Identifier: GPL-2.0-or-later
"""How much room the disks of an export need, and whether there is so much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from v2v_core.api import TEMPORARY_HINT, Reporter, SourceError, amount, free_space
from v2v_input_vmware.vcenter.inventory import properties
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.session import Service

#: A managed or data object of pyvmomi, which has no type hints.
Data = Any


def stored_sizes(service: Service, vm: Data) -> dict[int, tuple[int, bool]]:
    """Return for each disk, by its key, the bytes of its files in the datastore, and whether it has a single file."""
    layout = properties(service, vm, "layoutEx")["layoutEx"]
    if layout is None:
        return {}
    sizes = {each.key: int(each.size or 0) for each in layout.file or ()}
    found = {}
    for disk in layout.disk or ():
        chain = list(disk.chain or ())
        size = sum(sizes.get(key, 0) for link in chain for key in link.fileKey or ())
        if size:
            found[int(disk.key)] = size, len(chain) == 1
    return found


def check_room(
    disks: Sequence[VmDisk], stored: Mapping[int, tuple[int, bool]], directory: Path, report: Reporter
) -> None:
    """Check that there is room for the disks.

    A thin disk needs about what it has allocated. Of a thick one only what is not zero is stored here, and how much
    that is shows when it arrives.

    :raises SourceError: there is not enough.
    """
    free = free_space(directory)
    if free is None:
        return
    needed = possible = 0
    for disk in disks:
        size, single = stored.get(disk.key, (disk.size, False))
        possible += min(size, disk.size)
        if disk.thin and single:
            needed += min(size, disk.size)
    where = f"in {directory}, to which the disks are downloaded"
    if needed > free:
        raise SourceError(
            f"not enough space {where}: {amount(free)} are free, {amount(needed)} are needed", hint=TEMPORARY_HINT
        )
    if possible > free:
        report.warning(
            f"there may not be enough space {where}: {amount(free)} are free, and the disks may take "
            f"{amount(possible)}, if none of it is zero; free some space, or set VIRT_V2V_TMPDIR"
        )
