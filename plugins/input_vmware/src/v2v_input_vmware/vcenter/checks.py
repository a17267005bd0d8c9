# SPDX-License-Identifier: GPL-2.0-or-later
"""Check that a virtual machine can be copied, and report all obstacles together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.machine import Machine, VmDisk


def check_machine(
    vm: Machine, disks: Sequence[VmDisk], *, transport: str, snapshot: bool, warn: Callable[[str], None]
) -> None:
    """Check that the machine is switched off and its disks can be read.

    :param transport: ``https`` reads files of disks, and so cannot read snapshots or mapped devices.
    :param snapshot: the user named a snapshot to read from.
    :raises SourceError: it cannot be converted; the error names all obstacles and remedies.
    """
    problems: list[tuple[str, str]] = []
    whole_files = transport == "https"
    if vm.runtime.powerState == "suspended":
        problems.append(("it is suspended", "resume it and shut it down"))
    elif vm.runtime.powerState != "poweredOff" and not snapshot:
        remedy = "shut it down: a running guest changes its disks while they are copied"
        if not whole_files:
            remedy += f"; or name a snapshot of it with -io {transport}-snapshot"
        problems.append(("it is running", remedy))
    if getattr(vm.runtime, "consolidationNeeded", False):
        problems.append(("its disks need consolidation", "choose Snapshots > Consolidate in the vSphere Client"))
    snapshots = vm.snapshot is not None and bool(vm.snapshot.rootSnapshotList)
    if whole_files and snapshots:
        problems.append(
            ("it has snapshots", "delete all snapshots (their content is kept), or use -it vddk or -it export")
        )
    if not disks:
        problems.append(("it has no disk", "there is nothing to convert"))
    for disk in disks:
        problems += _problems_of(disk, transport=transport, snapshots=snapshots, snapshot=snapshot)
        if disk.mode == "independent_nonpersistent":
            warn(f"{disk.label} ({disk.file}) loses its changes when the machine is switched off; on KVM it keeps them")
    if problems:
        reasons = "; ".join(reason for reason, _ in problems)
        raise SourceError(
            f"the virtual machine {vm.name} cannot be converted: {reasons}",
            hint="; ".join(dict.fromkeys(remedy for _, remedy in problems)),
        )


def _problems_of(disk: VmDisk, *, transport: str, snapshots: bool, snapshot: bool) -> list[tuple[str, str]]:
    """Return the obstacles of a disk, each with its remedy."""
    what, whole_files = f"{disk.label} ({disk.file})", transport == "https"
    problems = []
    if disk.differs and whole_files and not snapshots:
        problems.append(
            (
                f"{what} is based on another disk, like the disks of a linked clone",
                "clone the machine in full and convert the clone, or use -it vddk or -it export",
            )
        )
    if disk.encrypted and transport != "vddk":
        problems.append(
            (f"{what} is encrypted", "decrypt it (VM Policies > Edit VM Storage Policies), or use -it vddk")
        )
    if snapshot and disk.mode.startswith("independent"):
        problems.append(
            (
                f"{what} is independent, so that no snapshot contains it",
                f"shut the machine down and omit -io {transport}-snapshot, or make the disk dependent",
            )
        )
    if disk.shared:
        problems.append((f"{what} is shared with other machines", "shut those machines down and end the sharing"))
    if disk.mapping == "physicalMode" or (disk.mapping and whole_files):
        problems.append(
            (
                f"{what} is a raw device mapping ({disk.mapping})",
                "copy the LUN separately, or migrate the disk to a VMDK with Storage vMotion"
                + (" or use -it vddk or -it export" if disk.mapping == "virtualMode" else ""),
            )
        )
    return problems
