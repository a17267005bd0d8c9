# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o local -os DIRECTORY``: the hooks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from v2v_core.api import (
    AbortResult,
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
    libvirt_domain,
)
from v2v_core.output_files import (
    DiskFile,
    Publication,
    clear_away,
    file_mode,
    hidden_name,
    make_disk,
    publish,
    write_partial,
)
from v2v_output_local.local.checks import check_destination, check_directory, check_place
from v2v_output_local.local.domain import DomainDisk, has_password, with_disks
from v2v_output_local.local.names import OutputNames
from v2v_output_local.local.settings import OPTIONS, LocalSettings


class LocalOutput(OutputHooks):
    """Write ``NAME-sda``, ``NAME-sdb`` … and ``NAME.xml`` into the directory ``-os``."""

    api_version = 1
    summary = "disk images and libvirt domain XML in a directory"
    options: tuple[PluginOption, ...] = OPTIONS

    @hookimpl
    def v2v_output_precheck(self, request: OutputPrecheckRequest) -> OutputCheckResult:
        """Check the options, the directory and the programs, and the name if the user chose one. Create nothing."""
        return check_place(request, LocalSettings.of(request.settings))

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> OutputCheckResult:
        """Check the options, the directory, the programs, the final names and the free space. Create nothing."""
        return check_destination(request, LocalSettings.of(request.settings))

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Create the images under hidden names."""
        settings = LocalSettings.of(request.settings)
        check_directory(settings.directory)
        names = OutputNames.of_guest(settings.directory, settings.name)
        disks = [
            DiskFile.beside(
                names.disk(disk.index),
                disk,
                form=settings.format,
                compressed=settings.compressed,
                overwrite=settings.overwrite,
            )
            for disk in request.disks
        ]
        for disk in disks:
            make_disk(disk, request.ledger, preallocated=settings.preallocated)
        return OutputSetup(
            disks=tuple(disk.service() for disk in disks),
            state={
                "format": settings.format,
                "metadata": str(names.metadata()),
                "disks": [
                    {
                        "index": disk.index,
                        "written": str(disk.written),
                        "final": str(disk.final),
                        "backup": str(hidden_name(disk.final, "backup")),
                    }
                    for disk in disks
                ],
            },
            # the old content of a block device is unknown
            zeroed=not any(disk.device for disk in disks),
            # qemu writes a compressed cluster once, and not again
            rewritable=not settings.compressed,
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the description, and give all files their final names."""
        state = request.state
        devices = {disk.index: disk.device for disk in request.target.disks}
        domain = with_disks(
            libvirt_domain(request.metadata, name=request.settings.name, report=request.report),
            {devices[disk["index"]]: _in_domain(disk, state) for disk in state["disks"]},
        )
        metadata = Path(state["metadata"])
        partial = hidden_name(metadata)
        write_partial(partial, domain, request.ledger)
        mode, overwrite = file_mode(), request.settings.overwrite
        files = [
            Publication(
                partial=Path(disk["written"]),
                final=Path(disk["final"]),
                backup=Path(disk["backup"]),
                mode=mode,
                overwrite=overwrite,
            )
            for disk in state["disks"]
            if not _is_device(disk)
        ]
        # the description comes last: once it exists, all disks that it names exist
        files.append(
            Publication(
                partial=partial,
                final=metadata,
                backup=hidden_name(metadata, "backup"),
                mode=0o600 if has_password(domain) else mode,
                overwrite=overwrite,
            )
        )
        publish(files, request.directory, request.ledger)
        return OutputResult(created=(*(disk["final"] for disk in state["disks"]), str(metadata)))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> AbortResult:
        """Delete the hidden files, and restore the files that had the final names before."""
        return AbortResult(left=clear_away(request.owned, request.directory, request.report))


def _is_device(disk: Mapping[str, Any]) -> bool:
    """Check whether a disk of the state is a block device, which is written in place."""
    return bool(disk["written"] == disk["final"])


def _in_domain(disk: Mapping[str, Any], state: Mapping[str, Any]) -> DomainDisk:
    device = _is_device(disk)
    return DomainDisk(
        type="block" if device else "file",
        source={"dev" if device else "file": disk["final"]},
        format=state["format"],
    )
