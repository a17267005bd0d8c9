# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest that the user named, as it was found on the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from v2v_input_vmware.vcenter.address import Address
from v2v_input_vmware.vcenter.inventory import find_vm
from v2v_input_vmware.vcenter.machine import Machine, VmDisk, read_machine
from v2v_input_vmware.vcenter.session import Service
from v2v_input_vmware.vcenter.settings import VcenterSettings
from v2v_input_vmware.vcenter.snapshots import at_snapshot, find_snapshot
from v2v_input_vmware.vcenter.trust import Trust

#: A managed object of pyvmomi, which has no type hints.
Managed = Any


@dataclass(frozen=True, kw_only=True)
class Found:
    """A virtual machine in the inventory.

    :param machine: its properties, those of the snapshot if one was named. :param snapshot: of the export.
    :param snapshot_moref: of the snapshot that is read, however it is read.
    """

    vm: Managed
    machine: Machine
    snapshot: Managed = None
    snapshot_moref: str | None = None


@dataclass(frozen=True)
class Source:
    """A guest, and the server that it is read from, during the set-up."""

    service: Service
    address: Address
    trust: Trust
    found: Found
    disks: tuple[VmDisk, ...]


def find_source(service: Service, settings: VcenterSettings) -> Found:
    """Find the machine that the user named, and its snapshot.

    :raises SourceError: there is none, or there are several.
    """
    vm = find_vm(service, settings.guest, settings.address.datacenter)
    machine = read_machine(service, vm)
    if settings.export is None or settings.export.snapshot is None:
        return Found(vm=vm, machine=machine, snapshot_moref=settings.snapshot)
    snapshot = find_snapshot(machine, settings.export.snapshot)
    return Found(
        vm=vm,
        machine=at_snapshot(service, machine, snapshot),
        snapshot=snapshot,
        snapshot_moref=snapshot._moId,
    )
