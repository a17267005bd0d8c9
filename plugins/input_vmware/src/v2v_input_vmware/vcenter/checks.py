# SPDX-License-Identifier: GPL-2.0-or-later
"""What must be so before a virtual machine can be copied, checked up front and reported together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from v2v_core.api import SourceError
from v2v_input_vmware.vcenter.machine import Machine, VmDisk


def check_machine(
    vm: Machine, disks: Sequence[VmDisk], *, whole_files: bool, snapshot: bool, warn: Callable[[str], None]
) -> None:
    """See that the machine is switched off and its disks can be read.

    :param whole_files: the transport reads the files of disks, and knows nothing of snapshots and mappings.
    :param snapshot: the user has named a snapshot to read from.
    :raises SourceError: naming all that stands in the way, with the remedies.
    """
    problems: list[tuple[str, str]] = []
    if vm.runtime.powerState == "suspended":
        problems.append(("it is suspended", "resume it and shut it down"))
    elif vm.runtime.powerState != "poweredOff" and not snapshot:
        problems.append(("it is running", "shut it down: what runs changes its disks while they are copied"))
    if getattr(vm.runtime, "consolidationNeeded", False):
        problems.append(("its disks need consolidation", "choose Snapshots > Consolidate in the vSphere Client"))
    snapshots = vm.snapshot is not None and bool(vm.snapshot.rootSnapshotList)
    if whole_files and snapshots:
        problems.append(("it has snapshots", "delete all snapshots (their content is kept), or use -it vddk"))
    if not disks:
        problems.append(("it has no disk", "there is nothing to convert"))
    for disk in disks:
        problems += _problems_of(disk, whole_files=whole_files, snapshots=snapshots, snapshot=snapshot)
        if disk.mode == "independent_nonpersistent":
            warn(
                f"{disk.label} ({disk.file}) forgets its changes when the machine is switched off; on KVM it keeps them"
            )
    if problems:
        reasons = "; ".join(reason for reason, _ in problems)
        raise SourceError(
            f"the virtual machine {vm.name} cannot be converted: {reasons}",
            hint="; ".join(dict.fromkeys(remedy for _, remedy in problems)),
        )


def _problems_of(disk: VmDisk, *, whole_files: bool, snapshots: bool, snapshot: bool) -> list[tuple[str, str]]:
    """List what stands in the way of a disk, with the remedies."""
    what = f"{disk.label} ({disk.file})"
    problems = []
    if disk.differs and whole_files and not snapshots:
        problems.append(
            (
                f"{what} is based on another disk, as those of linked clones are",
                "clone the machine in full and convert the clone, or use -it vddk",
            )
        )
    if disk.encrypted and whole_files:
        problems.append(
            (f"{what} is encrypted", "decrypt it (VM Policies > Edit VM Storage Policies), or use -it vddk")
        )
    if snapshot and disk.mode.startswith("independent"):
        problems.append(
            (
                f"{what} is independent, and in no snapshot",
                "shut the machine down and leave -io vddk-snapshot out, or make the disk a dependent one",
            )
        )
    if disk.shared:
        problems.append((f"{what} is shared with other machines", "shut those down and end the sharing"))
    if disk.mapping == "physicalMode" or (disk.mapping and whole_files):
        problems.append(
            (
                f"{what} is a raw device mapping ({disk.mapping})",
                "copy the LUN by itself, or migrate the disk to a VMDK with Storage vMotion"
                + (" or use -it vddk" if disk.mapping == "virtualMode" else ""),
            )
        )
    return problems
