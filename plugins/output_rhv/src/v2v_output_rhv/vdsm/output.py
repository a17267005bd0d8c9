# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o vdsm``: volumes, their ``.meta`` files and the OVF, in the directories that VDSM has made for them.

VDSM may have made the volumes as well. A file is replaced at the end, when all are whole; a volume on block storage is
a link to a block device, which is written itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from v2v_core.api import (
    HOOK_API_VERSION,
    DestinationError,
    DiskFile,
    Ledger,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    Publication,
    check_device,
    check_final,
    check_not_source,
    check_space,
    clear_away,
    file_mode,
    hidden_name,
    hookimpl,
    make_disk,
    open_new,
    publish,
    require_for_output,
    service_programs,
    write_partial,
)
from v2v_output_rhv.ovf import Flavour, OvfDisk, build_ovf
from v2v_output_rhv.vdsm.settings import OPTIONS, VdsmSettings
from v2v_output_rhv.volumes import check_disks, volume_metadata


class VdsmOutput:
    """Write a guest where VDSM says."""

    api_version = HOOK_API_VERSION
    summary = "volumes in a storage domain that VDSM has prepared; for VDSM, not for users"
    capabilities = ("vdsm-compat-option", "ovf:ovirt", "ovf:ovirtexp")
    options: tuple[PluginOption, ...] = OPTIONS
    #: The machines of oVirt have none unless somebody adds one.
    serial_console = False

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check options, directories, what is there already, free space and programs. Create nothing."""
        settings = VdsmSettings.of(request.settings)
        check_disks("-o vdsm", request.guest.disks)
        settings.check_count(len(request.guest.disks))
        settings.check_directories()
        require_for_output(*service_programs(request.settings.format))
        new: list[int | None] = []
        for disk in request.guest.disks:
            volume = settings.volume(disk.index)
            check_not_source(volume, request.source_files)
            if check_final(volume):
                check_device(volume, disk.size)
            else:
                new.append(disk.size)
        for description in (settings.ovf, *(_meta(settings.volume(disk.index)) for disk in request.guest.disks)):
            check_not_source(description, request.source_files)
            if check_final(description):
                raise DestinationError(f"-o vdsm: {description} is a block device and is not replaced")
        # the images may be on another file system than what leads to them
        check_space(settings.volume(1).parent, new, preallocated=request.settings.allocation == "preallocated")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Make the volumes under hidden names."""
        settings = VdsmSettings.of(request.settings)
        check_disks("-o vdsm", request.target.disks)
        settings.check_count(len(request.target.disks))
        settings.check_directories()
        preallocated = request.settings.allocation == "preallocated"
        compat = settings.compat if request.settings.format == "qcow2" else None
        disks = [
            DiskFile.beside(settings.volume(disk.index), disk, form=request.settings.format, compat=compat)
            for disk in request.target.disks
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
            # what a block device holds is not known
            zeroed=not any(disk.device for disk in disks),
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the descriptions, and give all files their names."""
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
            _publication(Path(disk["written"]), final)
            for disk, final in zip(state["disks"], finals, strict=True)
            if not disk["device"]
        ]
        for disk, final in zip(disks, finals, strict=True):
            content = volume_metadata(disk, storage_domain_id=state["domain"], created=created)
            files.append(_written(content, _meta(final), request.ledger))
        # the OVF comes last: where there is one, there are all of its volumes
        files.append(_written(ovf, Path(state["ovf"]), request.ledger))
        publish(files, request.directory, request.ledger)
        return OutputResult(created=(*map(str, finals), state["ovf"]))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Delete the hidden files; give back the names of what had them before."""
        clear_away(request.owned, request.directory, request.report)


def _meta(volume: Path) -> Path:
    return volume.with_name(f"{volume.name}.meta")


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


def _written(content: bytes, final: Path, ledger: Ledger) -> Publication:
    partial = hidden_name(final)
    write_partial(partial, content, ledger, opener=_open_new)
    return _publication(partial, final)


def _publication(partial: Path, final: Path) -> Publication:
    """Say what a file will be called; what it replaces decides who may read it."""
    try:
        mode = final.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = file_mode()
    return Publication(partial=partial, final=final, backup=hidden_name(final, "backup"), mode=mode)


def _open_new(path: Path) -> int:
    """Make a file that belongs to whom its directory belongs to, which is VDSM, if this process may give it away."""
    handle = open_new(path)
    directory = path.parent.stat()
    if os.geteuid() == 0 and (directory.st_uid, directory.st_gid) != (0, 0):
        with contextlib.suppress(OSError):
            os.fchown(handle, directory.st_uid, directory.st_gid)
    return handle
