# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload -oc https://USER@ENGINE/ovirt-engine/api -op PASSWORD-FILE -os STORAGE-DOMAIN``: the hooks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from v2v_core.api import (
    AbortResult,
    Finding,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputHooks,
    OutputPrecheckRequest,
    OutputResult,
    OutputResumeRequest,
    OutputSetup,
    OutputSetupRequest,
    OutputSinkRequest,
    ProbeHooks,
    ProbeRequest,
    Sink,
    V2VError,
    hookimpl,
)
from v2v_output_rhv.ovf import PROFILE
from v2v_output_rhv.upload.settings import OPTIONS, Limits, read_settings


class UploadOutput(OutputHooks, ProbeHooks):
    """Create disks at an oVirt engine, upload to them through ovirt-imageio, and create a virtual machine with them."""

    api_version = 1
    summary = "a virtual machine of oVirt or RHV, uploaded through its engine"
    options = OPTIONS
    capabilities = ("ovf:ovirt",)
    profile = PROFILE

    #: Subclasses in tests have other limits.
    limits: ClassVar[Limits] = Limits()
    #: The file in which a host of oVirt has its hardware id.
    vdsm_id: ClassVar[Path] = Path("/etc/vdsm/vdsm.id")

    @hookimpl
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> None:
        """Check the engine, storage, cluster, ids and programs, and the name if the user chose one. Create nothing."""
        from v2v_output_rhv.upload.checks import check_place

        check_place(request, read_settings(request.settings, request.directory))

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check the engine, storage, cluster, names, ids and programs. Create nothing."""
        from v2v_output_rhv.upload.checks import check_destination

        check_destination(request, read_settings(request.settings, request.directory))

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create the disks, and start a transfer to each."""
        from v2v_output_rhv.upload.checks import check_architecture, check_disk_uuids, check_name
        from v2v_output_rhv.upload.destination import find_destination, local_host
        from v2v_output_rhv.upload.disks import create_disk, plan_disks
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.opening import open_disks
        from v2v_output_rhv.upload.removal import DISK, MARK
        from v2v_output_rhv.upload.service import REQUEST_SIZE

        settings = read_settings(request.settings, request.directory)
        with session(settings) as system:
            destination = find_destination(system, settings)
            if request.target is not None:
                # before the copy; if the guest is not converted yet, finalize checks it
                check_architecture(
                    request.target.capabilities.arch,
                    cluster=destination.cluster_name,
                    offered=destination.architecture,
                )
            check_name(system, request.settings.name)
            check_disk_uuids(system, settings.disk_uuids)
            host = local_host(system, destination, self.vdsm_id)
            plans = plan_disks(request.settings, settings.disk_uuids, request.disks, block=destination.block)
            mark = uuid.uuid4().hex
            request.ledger.record(MARK, mark)
            volumes = {}
            for plan in plans:
                request.report.message(f"Creating disk {plan.index}/{len(plans)} in {destination.storage_name}")
                request.ledger.record(DISK, plan.id)
                volumes[plan.id] = create_disk(system, plan, destination, mark, self.limits)
            # creating disks can take long, and a transfer must not wait for it: so all disks are created first
            services, disks = open_disks(
                system,
                settings,
                [
                    {
                        "index": plan.index,
                        "id": plan.id,
                        "volume": volumes[plan.id] or str(uuid.uuid4()),
                        "size": plan.size,
                        "format": plan.format,
                        "sparse": plan.sparse,
                    }
                    for plan in plans
                ],
                host=host,
                directory=request.directory,
                limits=self.limits,
                report=request.report,
            )
        return OutputSetup(
            disks=services,
            state={
                "cluster": destination.cluster,
                "cluster_name": destination.cluster_name,
                "architecture": destination.architecture,
                "storage_domain": destination.storage_domain,
                "disks": disks,
            },
            request_size=REQUEST_SIZE,
            sink=True,
            # a new volume reads as zeros, except a preallocated one on block storage, which may hold old data
            zeroed=not (destination.block and not plans[0].sparse) if plans else False,
            # another run can have chosen the same id, after this one has removed its disk
            identities=tuple(f"oVirt disk {plan.id}, {mark}" for plan in plans),
        )

    @hookimpl
    def v2v_output_sink(self, request: OutputSinkRequest) -> Sink:
        """Connect to a disk through ovirt-imageio."""
        from v2v_output_rhv.upload.sink import open_sink

        return open_sink(request.directory, request.index, request.connections)

    @hookimpl
    def v2v_output_resume(self, request: OutputResumeRequest) -> OutputSetup:
        """End what is left of the old transfers, and start new ones to the same disks."""
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.opening import reopen_disks

        settings = read_settings(request.settings, request.directory)
        with session(settings) as system:
            return reopen_disks(system, settings, request, self.vdsm_id, self.limits)

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Check the architecture of the guest, finalize the transfers, and create the virtual machine from the OVF."""
        from v2v_output_rhv.ovf import Flavour, OvfDisk, build_ovf
        from v2v_output_rhv.upload.checks import check_architecture
        from v2v_output_rhv.upload.disks import wait_for_disk
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.machine import create_machine
        from v2v_output_rhv.upload.opening import called
        from v2v_output_rhv.upload.removal import MACHINE
        from v2v_output_rhv.upload.transfers import finalize_transfer

        settings = read_settings(request.settings, request.directory)
        state, limits = request.state, self.limits
        # setup has checked this already, unless the guest was converted later
        check_architecture(
            request.target.capabilities.arch, cluster=state["cluster_name"], offered=state["architecture"]
        )
        vm_id = str(uuid.uuid4())
        ovf = build_ovf(
            request.target,
            name=request.settings.name,
            vm_id=vm_id,
            storage_domain_id=state["storage_domain"],
            disks=[
                OvfDisk(
                    index=disk["index"],
                    image_id=disk["id"],
                    volume_id=disk["volume"],
                    size=disk["size"],
                    format=disk["format"],
                    allocation="sparse" if disk["sparse"] else "preallocated",
                )
                for disk in state["disks"]
            ],
            flavour=Flavour.OVIRT,
            created=datetime.now(UTC),
            warn=request.report.warning,
        )
        with session(settings) as system:
            request.report.message("Finalizing the transfers")
            for disk in state["disks"]:
                finalize_transfer(system, disk["transfer"], disk["id"], called(disk), limits)
                wait_for_disk(system, disk["id"], called(disk), limit=limits.finalize, poll=limits.poll)
            request.report.message(f"Creating the virtual machine {request.settings.name}")
            request.ledger.record(MACHINE, vm_id)
            machine = create_machine(system, ovf, vm_id, state["cluster"], limits)
        return OutputResult(created=(machine, *(disk["id"] for disk in state["disks"])))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Cancel the transfers, and remove what the ledger names. Never raise.

        Everything is left when the engine cannot be asked; the next attempt finds out what is gone already.
        """
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.removal import everything, take_back

        if not everything(request.owned):
            return AbortResult()
        try:
            settings = read_settings(request.settings, request.directory)
            with session(settings) as system:
                return AbortResult(left=take_back(system, request.owned, self.limits, request.report))
        except Exception as err:
            reason = err.message if isinstance(err, V2VError) else f"{type(err).__name__}: {err}"
            request.report.warning(f"the unfinished output could not be removed from the engine: {reason}")
            return AbortResult(left=everything(request.owned))

    @hookimpl
    def v2v_probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
        """Look for the client libraries of oVirt, and for nbdkit's Python plugin."""
        from v2v_output_rhv.upload.probes import probe

        return probe()
