# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o vdsm``: the hooks. Volumes, ``.meta`` files and the OVF go into directories that VDSM has created.

VDSM may have created the volumes too. Existing volumes are replaced at the end, when all new files are complete. A
volume on block storage is a link to a block device, which is written in place. An OVF with the id of the guest comes
from an earlier conversion, and is replaced only with ``--overwrite``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2v_core.api import (
    AbortResult,
    Ledger,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputCheckResult,
    OutputFinalizeRequest,
    OutputHooks,
    OutputPrecheckRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    hookimpl,
)
from v2v_core.output_files import (
    DiskFile,
    Publication,
    clear_away,
    file_mode,
    hidden_name,
    make_disk,
    open_new,
    publish,
    write_partial,
)
from v2v_output_rhv.ovf import PROFILE, Flavour, OvfDisk, build_ovf
from v2v_output_rhv.vdsm.checks import check_destination, check_place
from v2v_output_rhv.vdsm.settings import OPTIONS, VdsmSettings
from v2v_output_rhv.volumes import check_sizes, meta_file, volume_metadata


class VdsmOutput(OutputHooks):
    """Write a guest into the directories that VDSM names."""

    api_version = 1
    summary = "volumes in a storage domain that VDSM has prepared; for VDSM, not for users"
    options: tuple[PluginOption, ...] = OPTIONS
    capabilities = ("vdsm-compat-option", "ovf:ovirt", "ovf:ovirtexp")
    profile = PROFILE

    @hookimpl
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> OutputCheckResult:
        """Check the options, directories, programs, and whether there is an OVF of this id. Create nothing."""
        return check_place(request, VdsmSettings.of(request.settings))

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> OutputCheckResult:
        """Check the options, directories, existing files, free space and programs. Create nothing."""
        return check_destination(request, VdsmSettings.of(request.settings))

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create the volumes under hidden names."""
        settings = VdsmSettings.of(request.settings)
        check_sizes("-o vdsm", request.disks)
        settings.check_count(len(request.disks))
        settings.check_directories()
        preallocated = request.settings.allocation == "preallocated"
        compat = settings.compat if request.settings.format == "qcow2" else None
        disks = [
            # VDSM has created the volumes, perhaps: to replace them is what it asks for
            DiskFile.beside(
                settings.volume(disk.index), disk, form=request.settings.format, compat=compat, overwrite=True
            )
            for disk in request.disks
        ]
        for made in disks:
            make_disk(made, request.ledger, preallocated=preallocated, opener=_open_new)
        return OutputSetup(
            disks=tuple(disk.service() for disk in disks),
            state={
                "domain": settings.domain.name,
                "machine": settings.machine,
                "ovf": str(settings.ovf),
                "flavour": settings.flavour.value,
                "created": datetime.now(UTC).isoformat(),
                "format": request.settings.format,
                "allocation": request.settings.allocation,
                "disks": [
                    {
                        "index": disk.index,
                        "device": disk.device,
                        "written": str(disk.written),
                        "final": str(disk.final),
                        "size": disk.size,
                    }
                    for disk in disks
                ],
            },
            # the old content of a block device is unknown
            zeroed=not any(disk.device for disk in disks),
            rewritable=True,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the descriptions, and give all files their final names."""
        state = request.state
        disks = tuple(_ovf_disks(state))
        created = datetime.fromisoformat(state["created"])
        ovf = build_ovf(
            request.target,
            name=request.settings.name,
            vm_id=state["machine"],
            storage_domain_id=state["domain"],
            disks=disks,
            flavour=Flavour(state["flavour"]),
            created=created,
            warn=request.report.warning,
        )
        finals = [Path(disk["final"]) for disk in state["disks"]]
        files = [
            _publication(Path(disk["written"]), final, overwrite=True)
            for disk, final in zip(state["disks"], finals, strict=True)
            if not disk["device"]
        ]
        for disk, final in zip(disks, finals, strict=True):
            content = volume_metadata(disk, storage_domain_id=state["domain"], created=created)
            files.append(_write_hidden(content, meta_file(final), request.ledger, overwrite=True))
        # the OVF comes last: once it exists, all volumes that it names exist
        overwrite = request.settings.overwrite
        files.append(_write_hidden(ovf, Path(state["ovf"]), request.ledger, overwrite=overwrite))
        publish(files, request.directory, request.ledger)
        return OutputResult(created=(*map(str, finals), state["ovf"]))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Delete the hidden files, and restore the files that had the final names before."""
        return AbortResult(left=clear_away(request.owned, request.directory, request.report))


def _ovf_disks(state: Mapping[str, Any]) -> Iterator[OvfDisk]:
    for disk in state["disks"]:
        volume = Path(disk["final"])
        yield OvfDisk(
            index=disk["index"],
            image_id=volume.parent.name,
            volume_id=volume.name,
            size=disk["size"],
            format=state["format"],
            allocation=state["allocation"],
        )


def _write_hidden(content: bytes, final: Path, ledger: Ledger, *, overwrite: bool) -> Publication:
    """Write a file under a hidden name, and return how it is published."""
    partial = hidden_name(final)
    write_partial(partial, content, ledger, opener=_open_new)
    return _publication(partial, final, overwrite=overwrite)


def _publication(partial: Path, final: Path, *, overwrite: bool) -> Publication:
    """Return how a file is published: with the mode of the file that it replaces, or else with the usual mode."""
    try:
        mode = final.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = file_mode()
    return Publication(
        partial=partial, final=final, backup=hidden_name(final, "backup"), mode=mode, overwrite=overwrite
    )


def _open_new(path: Path) -> int:
    """Create a file with the owner of its directory, which is VDSM, if this process may change the owner."""
    handle = open_new(path)
    directory = path.parent.stat()
    if os.geteuid() == 0 and (directory.st_uid, directory.st_gid) != (0, 0):
        with contextlib.suppress(OSError):
            os.fchown(handle, directory.st_uid, directory.st_gid)
    return handle
