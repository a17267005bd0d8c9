# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking everything back: the virtual machine, the transfers, the disks; what is in the ledger and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core.api import OwnedObject, Reporter
from v2v_output_rhv.upload.disks import is_marked, remove_disk
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.machine import remove_machine
from v2v_output_rhv.upload.settings import Limits
from v2v_output_rhv.upload.transfers import cancel_transfers

#: Kinds of objects in the ledger. The mark is in the description of each disk: an id may be the user's choice, and
#: somebody else may have made a disk with it first.
DISK, MACHINE, MARK = "oVirt disk", "oVirt virtual machine", "mark of the oVirt disks"


def take_back(system: System, owned: Sequence[OwnedObject], limits: Limits, report: Reporter) -> None:
    """Remove what this run made; name by id what cannot be removed."""
    marks = ids(owned, MARK)
    mark = marks[-1] if marks else None
    for vm_id in ids(owned, MACHINE):
        remove_machine(system, vm_id, limits, report.warning)
    disks = [disk_id for disk_id in ids(owned, DISK) if is_marked(system, disk_id, mark)]
    for disk_id, phase in cancel_transfers(system, disks, limits).items():
        if not phase.startswith(("transferring", "initializing", "finalizing")):
            report.warning(f"the transfer to the disk {disk_id} was {phase} in the engine")
    for disk_id in disks:
        remove_disk(system, disk_id, limits, report.warning)


def name_what_is_left(owned: Sequence[OwnedObject], why: str, report: Reporter) -> None:
    """Say by id what may be left, when the engine does not answer."""
    left = [f"{thing.kind} {thing.identity}" for thing in owned if thing.kind in {DISK, MACHINE}]
    if left:
        report.warning(
            f"the unfinished output could not be taken back ({why}); look for, and remove: {', '.join(left)}"
        )


def ids(owned: Sequence[OwnedObject], kind: str) -> list[str]:
    """Give the ids of the objects of a kind, once each."""
    return list(dict.fromkeys(thing.identity for thing in owned if thing.kind == kind))
