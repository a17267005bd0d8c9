# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload -oc https://USER@ENGINE/ovirt-engine/api -op PASSWORD-FILE -os STORAGE-DOMAIN``."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from v2v_core.api import (
    HOOK_API_VERSION,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    V2VError,
    hookimpl,
)
from v2v_output_rhv.upload.settings import OPTIONS, Limits, read_settings


class UploadOutput:
    """Disks of an oVirt engine, written through ovirt-imageio, and a virtual machine that has them."""

    api_version = HOOK_API_VERSION
    summary = "a virtual machine of oVirt or RHV, uploaded through its engine"
    capabilities = ("ovf:ovirt",)
    options = OPTIONS

    #: For tests, in a subclass.
    limits: ClassVar[Limits] = Limits()
    #: Where a host of oVirt has its hardware id.
    vdsm_id: ClassVar[Path] = Path("/etc/vdsm/vdsm.id")

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """See that engine, storage, cluster, names, ids and programs are as they must be. Create nothing."""
        from v2v_output_rhv.upload import destination as to
        from v2v_output_rhv.upload.disks import check_count, disk_format
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.service import check_client

        settings = read_settings(request.settings, request.directory)
        check_count(settings.disk_uuids, len(request.guest.disks))
        check_client()
        with session(settings) as system:
            destination = to.find_destination(system, settings)
            form, sparse = disk_format(request.settings, block=destination.block)
            needed = sum(disk.size or 0 for disk in request.guest.disks)
            to.check_space(destination, needed, known=destination.block or not sparse)
            warning = to.check_name(system, request.settings.name)
            to.check_disk_uuids(system, settings.disk_uuids)
        if warning is not None:
            request.report.warning(warning)
        if form != request.settings.format:
            request.report.info(f"{destination.storage_name} is block storage: sparse disks on it are {form}")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Make the disks, and start a transfer to each."""
        from v2v_output_rhv.upload import destination as to
        from v2v_output_rhv.upload.address import address_file, write_address
        from v2v_output_rhv.upload.copier import recommended
        from v2v_output_rhv.upload.disks import create_disk, plan_disks
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.removal import DISK, MARK
        from v2v_output_rhv.upload.service import REQUEST_SIZE, upload_address, upload_service
        from v2v_output_rhv.upload.transfers import start_transfer

        settings = read_settings(request.settings, request.directory)
        with session(settings) as system:
            destination = to.find_destination(system, settings)
            to.check_architecture(destination, request.target.capabilities.arch)
            to.check_name(system, request.settings.name)
            to.check_disk_uuids(system, settings.disk_uuids)
            host = to.local_host(system, destination, self.vdsm_id)
            plans = plan_disks(request.settings, settings.disk_uuids, request.target.disks, block=destination.block)
            mark = uuid.uuid4().hex
            request.ledger.record(MARK, mark)
            volumes = {}
            for plan in plans:
                request.report.message(f"Creating disk {plan.index}/{len(plans)} in {destination.storage_name}")
                request.ledger.record(DISK, plan.id)
                volumes[plan.id] = create_disk(system, plan, destination, mark, self.limits)
            services, disks = [], []
            # after all disks are made, which may take long: a transfer must not wait for the next disk
            for plan in plans:
                transfer = start_transfer(system, plan.id, plan.called, host, self.limits)
                request.report.debug(f"{plan.called}: transfer {transfer.id} on host {transfer.host}")
                address = upload_address(settings, transfer)
                write_address(address_file(request.directory, plan.index), address)
                services.append(upload_service(address, plan.size))
                disks.append(
                    {
                        "index": plan.index,
                        "id": plan.id,
                        "volume": volumes[plan.id] or str(uuid.uuid4()),
                        "size": plan.size,
                        "format": plan.format,
                        "sparse": plan.sparse,
                        "transfer": transfer.id,
                    }
                )
        return OutputSetup(
            disks=tuple(services),
            state={"cluster": destination.cluster, "storage_domain": destination.storage_domain, "disks": disks},
            request_size=REQUEST_SIZE,
            copier=recommended(),
            # a new volume reads as zeros, but for a preallocated one on block storage, which may hold old data
            zeroed=not (destination.block and not plans[0].sparse) if plans else False,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Finalize the transfers, then make the virtual machine of the OVF."""
        from v2v_output_rhv.ovf import Flavour, OvfDisk, build_ovf
        from v2v_output_rhv.upload.disks import wait_for_disk
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.machine import create_machine
        from v2v_output_rhv.upload.removal import MACHINE
        from v2v_output_rhv.upload.transfers import finalize_transfer

        settings = read_settings(request.settings, request.directory)
        state, limits = request.state, self.limits
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
                called = f"disk {disk['index']} ({disk['id']})"
                finalize_transfer(system, disk["transfer"], disk["id"], called, limits)
                wait_for_disk(system, disk["id"], called, limit=limits.finalize, poll=limits.poll)
            request.report.message(f"Creating the virtual machine {request.settings.name}")
            request.ledger.record(MACHINE, vm_id)
            made = create_machine(system, ovf, vm_id, state["cluster"], limits)
        return OutputResult(created=(made, *(disk["id"] for disk in state["disks"])))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Cancel the transfers, and remove what is in the ledger. It does not raise."""
        from v2v_output_rhv.upload.engine import session
        from v2v_output_rhv.upload.removal import name_what_is_left, take_back

        if not request.owned:
            return
        try:
            settings = read_settings(request.settings, request.directory)
            with session(settings) as system:
                take_back(system, request.owned, self.limits, request.report)
        except V2VError as err:
            name_what_is_left(request.owned, err.message, request.report)
        except Exception as err:
            name_what_is_left(request.owned, f"{type(err).__name__}: {err}", request.report)
