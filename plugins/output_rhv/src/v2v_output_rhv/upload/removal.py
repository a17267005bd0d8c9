# SPDX-License-Identifier: GPL-2.0-or-later
"""Removing the virtual machine, the transfers and the disks that the ledger names, and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from v2v_core.api import OwnedObject, Reporter
from v2v_output_rhv.upload.disks import is_marked, remove_disk
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.machine import remove_machine
from v2v_output_rhv.upload.settings import Limits
from v2v_output_rhv.upload.transfers import cancel_transfers

#: Kinds of objects in the ledger. The mark is in the description of each disk: the user can choose the id of a disk,
#: and another user may have created a disk with this id before.
DISK, MACHINE, MARK = "oVirt disk", "oVirt virtual machine", "mark of the oVirt disks"


def take_back(
    system: System, owned: Sequence[OwnedObject], limits: Limits, report: Reporter
) -> tuple[OwnedObject, ...]:
    """Remove what this run created. Return what must stay in the ledger.

    Warn of each object that cannot be removed, with its id.
    """
    marks = ids(owned, MARK)
    mark = marks[-1] if marks else None
    left = [
        OwnedObject(kind=MACHINE, identity=vm_id)
        for vm_id in ids(owned, MACHINE)
        if not remove_machine(system, vm_id, limits, report.warning)
    ]
    disks = [disk_id for disk_id in ids(owned, DISK) if is_marked(system, disk_id, mark)]
    for disk_id, phase in cancel_transfers(system, disks, limits).items():
        if not phase.startswith(("transferring", "initializing", "finalizing")):
            report.warning(f"the transfer to the disk {disk_id} was {phase} in the engine")
    left += [
        OwnedObject(kind=DISK, identity=disk_id)
        for disk_id in disks
        if not remove_disk(system, disk_id, limits, report.warning)
    ]
    return _with_mark(owned, left)


def everything(owned: Sequence[OwnedObject]) -> tuple[OwnedObject, ...]:
    """Return what must stay in the ledger when nothing could be removed: empty if nothing was to be created."""
    return _with_mark(owned, [thing for thing in owned if thing.kind in {DISK, MACHINE}])


def ids(owned: Sequence[OwnedObject], kind: str) -> list[str]:
    """Return the ids of the objects of a kind, without duplicates."""
    return list(dict.fromkeys(thing.identity for thing in owned if thing.kind == kind))


def _with_mark(owned: Sequence[OwnedObject], left: Collection[OwnedObject]) -> tuple[OwnedObject, ...]:
    """Return what is left, in the order of the ledger, with the mark: without it, no attempt could remove a disk."""
    disks_left = any(thing.kind == DISK for thing in left)
    return tuple(thing for thing in owned if thing in left or (thing.kind == MARK and disks_left))
