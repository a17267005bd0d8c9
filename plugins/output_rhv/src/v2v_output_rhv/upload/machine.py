# SPDX-License-Identifier: GPL-2.0-or-later
"""Creating the virtual machine from the OVF, and removing it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from v2v_core.api import DestinationError
from v2v_output_rhv.upload.engine import System, reason_of, wait_until
from v2v_output_rhv.upload.settings import Limits


def create_machine(system: System, ovf: bytes, vm_id: str, cluster: str, limits: Limits) -> str:
    """Create the virtual machine of an OVF, wait until the engine's jobs for it are over, and return its id.

    :param vm_id: the id in the OVF. :param cluster: id of the cluster.
    :raises DestinationError: the engine cannot create it, or takes too long.
    """
    from ovirtsdk4 import types

    correlation = str(uuid.uuid4())
    machine = system.vms_service().add(
        types.Vm(
            cluster=types.Cluster(id=cluster),
            initialization=types.Initialization(
                # the type OVA, unlike OVF, uses disks that exist already
                configuration=types.Configuration(type=types.ConfigurationType.OVA, data=ovf.decode("utf-8"))
            ),
        ),
        query={"correlation_id": correlation},
    )
    jobs: list[Any] = []

    def over() -> bool:
        nonlocal jobs
        jobs = system.jobs_service().list(search=f"correlation_id={correlation}")
        return all(job.status != types.JobStatus.STARTED for job in jobs)

    if not wait_until(over, limit=limits.machine, poll=limits.poll):
        raise DestinationError(
            f"the engine is still making the virtual machine {vm_id} after {limits.machine:.0f} seconds: "
            f"{_described(jobs, types.JobStatus.STARTED)}",
            hint="the engine's tasks and events show what it waits for; then run again",
        )
    failed = [job for job in jobs if job.status in {types.JobStatus.FAILED, types.JobStatus.ABORTED}]
    if failed:
        raise DestinationError(
            f"the engine could not make the virtual machine: {_described(failed)}",
            hint="the events in the engine, and its log /var/log/ovirt-engine/engine.log, say why",
        )
    return str(machine.id)


def remove_machine(system: System, vm_id: str, limits: Limits, warn: Callable[[str], None]) -> bool:
    """Remove a virtual machine, but none of its disks. Return whether it is gone."""
    import ovirtsdk4 as sdk
    from ovirtsdk4 import types

    service = system.vms_service().vm_service(vm_id)
    refused = ""

    def gone() -> bool:
        nonlocal refused
        try:
            if service.get().status == types.VmStatus.IMAGE_LOCKED:
                refused = "it is locked"
                return False
            # keep the disks: another user may have attached one to the machine
            service.remove(detach_only=True)
        except sdk.NotFoundError:
            return True
        except sdk.Error as err:
            refused = reason_of(err)
        return False

    if wait_until(gone, limit=limits.removal, poll=limits.poll):
        return True
    warn(f"the virtual machine {vm_id} could not be removed from the engine and is left behind: {refused}")
    return False


def _described(jobs: list[Any], status: Any = None) -> str:
    chosen = [job for job in jobs if status is None or job.status == status]
    return "; ".join(f"{job.description} ({job.status.value})" for job in chosen) or "no job is known"
