# SPDX-License-Identifier: GPL-2.0-or-later
"""Opening the disks of a run for their data: a transfer for each, its address, and how it is served to other copiers.

Setup does this with new disks. A run that was interrupted does it again, with the disks that it has made: what was
written to them is still there, and only the transfers are new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from v2v_core.api import DestinationError, DiskService, OutputResumeRequest, OutputSetup, Reporter
from v2v_output_rhv.upload.address import address_file, write_address
from v2v_output_rhv.upload.destination import find_destination, local_host
from v2v_output_rhv.upload.disks import is_marked, wait_for_disk
from v2v_output_rhv.upload.engine import System
from v2v_output_rhv.upload.removal import MARK, ids
from v2v_output_rhv.upload.service import upload_address, upload_service
from v2v_output_rhv.upload.settings import Limits, UploadSettings
from v2v_output_rhv.upload.transfers import end_transfers, start_transfer

_START_OVER = "this conversion cannot go on: clean it up, and convert the guest again"


def called(disk: Mapping[str, Any]) -> str:
    """Return the name of a disk of the state in messages."""
    return f"disk {disk['index']} ({disk['id']})"


def open_disks(
    system: System,
    settings: UploadSettings,
    disks: Sequence[dict[str, Any]],
    *,
    host: str | None,
    directory: Path,
    limits: Limits,
    report: Reporter,
) -> tuple[tuple[DiskService, ...], list[dict[str, Any]]]:
    """Start a transfer to each disk. Return how the disks are served, and the disks with their transfers.

    :param disks: as they are in the state of the output. :param host: id of the host to use; None for any.
    :raises DestinationError: a transfer does not start.
    """
    services: list[DiskService] = []
    opened = []
    for disk in disks:
        transfer = start_transfer(system, disk["id"], called(disk), host, limits)
        report.debug(f"{called(disk)}: transfer {transfer.id} on host {transfer.host}")
        address = upload_address(settings, transfer, limits)
        write_address(address_file(directory, disk["index"]), address)
        services.append(upload_service(address, disk["size"]))
        opened.append({**disk, "transfer": transfer.id})
    return tuple(services), opened


def reopen_disks(
    system: System, settings: UploadSettings, request: OutputResumeRequest, vdsm_id: Path, limits: Limits
) -> OutputSetup:
    """Open the disks of an interrupted run again.

    A transfer of that run is finalized, because the engine would remove the disk of one that is cancelled. With it goes
    its ticket, so nothing that is left of that run can write to the disk.

    :raises DestinationError: a disk is gone, or is not one of this run, or cannot be written.
    """
    state = request.setup.state
    disks = state["disks"]
    destination = find_destination(system, settings)
    host = local_host(system, destination, vdsm_id)
    marks = ids(request.owned, MARK)
    mark = marks[-1] if marks else None
    # before anything is changed
    for disk in disks:
        _check_ours(system, disk, mark)
    for disk in disks:
        request.report.message(f"Opening {called(disk)} again")
        end_transfers(system, disk["id"], called(disk), limits)
        _check_ours(system, disk, mark)
        wait_for_disk(system, disk["id"], called(disk), limit=limits.finalize, poll=limits.poll)
    services, opened = open_disks(
        system, settings, disks, host=host, directory=request.directory, limits=limits, report=request.report
    )
    return replace(
        request.setup,
        disks=services,
        state={**state, "disks": opened},
        # what was written last need not be in the journal of the copy
        zeroed=False,
    )


def _check_ours(system: System, disk: Mapping[str, Any], mark: str | None) -> None:
    """Check that a disk is still there, and is the one that this run has created.

    :raises DestinationError: it is not.
    """
    if not is_marked(system, disk["id"], mark):
        raise DestinationError(
            f"{called(disk)}, which this run had begun to upload, is not in the engine any more, or is another disk",
            hint=f"the engine removes a disk when its transfer is cancelled, and its events say by whom; {_START_OVER}",
        )
