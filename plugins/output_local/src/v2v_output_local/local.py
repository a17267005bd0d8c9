# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o local``: disk images in a directory, and libvirt domain XML beside them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from v2v_core.api import (
    HOOK_API_VERSION,
    DestinationError,
    DiskFile,
    OutputAbortRequest,
    OutputCheckRequest,
    OutputFinalizeRequest,
    OutputResult,
    OutputSettings,
    OutputSetup,
    OutputSetupRequest,
    PluginOption,
    Publication,
    UsageError,
    check_device,
    check_final,
    check_not_source,
    check_output_directory,
    check_space,
    clear_away,
    file_mode,
    hidden_name,
    hookimpl,
    make_disk,
    publish,
    require_for_output,
    service_programs,
    write_partial,
)
from v2v_output_local.domain import DomainDisk, has_password, with_disks
from v2v_output_local.names import OutputNames


class LocalOutput:
    """Write ``NAME-sda``, ``NAME-sdb`` … and ``NAME.xml`` into the directory ``-os``."""

    api_version = HOOK_API_VERSION
    summary = "disk images and libvirt domain XML in a directory"
    options: tuple[PluginOption, ...] = (
        PluginOption(name="compressed", help="compress the disk images (with -of qcow2)", flag=True),
    )

    @hookimpl
    def v2v_output_check(self, request: OutputCheckRequest) -> None:
        """Check options, directory, free space, final names and programs. Create nothing."""
        settings = request.settings
        directory = _checked_directory(settings)
        require_for_output(*service_programs(settings.format))
        names = OutputNames.of_guest(directory, settings.name)
        check_not_source(names.metadata(), request.source_files)
        if check_final(names.metadata()):
            raise DestinationError(f"{names.metadata()} is a block device and is not replaced")
        new: list[int | None] = []
        for disk in request.guest.disks:
            final = names.disk(disk.index)
            check_not_source(final, request.source_files)
            if check_final(final):
                check_device(final, disk.size)
            else:
                new.append(disk.size)
        check_space(directory, new, preallocated=settings.allocation == "preallocated")

    @hookimpl
    def v2v_output_setup(self, request: OutputSetupRequest) -> OutputSetup:
        """Make the images under hidden names."""
        settings = request.settings
        names = OutputNames.of_guest(_checked_directory(settings), settings.name)
        preallocated = settings.allocation == "preallocated"
        compressed = settings.options.flag("compressed")
        disks = [
            DiskFile.beside(names.disk(disk.index), disk, form=settings.format, compressed=compressed)
            for disk in request.target.disks
        ]
        for made in disks:
            make_disk(made, request.ledger, preallocated=preallocated)
        return OutputSetup(
            disks=tuple(disk.service() for disk in disks),
            state={
                "format": settings.format,
                "metadata": str(names.metadata()),
                "disks": [
                    {
                        "device": target.device,
                        "written": str(disk.written),
                        "final": str(disk.final),
                        "backup": str(hidden_name(disk.final, "backup")),
                    }
                    for target, disk in zip(request.target.disks, disks, strict=True)
                ],
            },
            # what a block device holds is not known
            zeroed=not any(disk.device for disk in disks),
        )

    @hookimpl
    def v2v_output_finalize(self, request: OutputFinalizeRequest) -> OutputResult:
        """Write the description, and give all files their names."""
        state = request.state
        domain = with_disks(request.domain_xml, {disk["device"]: _in_domain(disk, state) for disk in state["disks"]})
        metadata = Path(state["metadata"])
        partial = hidden_name(metadata)
        write_partial(partial, domain, request.ledger)
        mode = file_mode()
        files = [
            Publication(
                partial=Path(disk["written"]), final=Path(disk["final"]), backup=Path(disk["backup"]), mode=mode
            )
            for disk in state["disks"]
            if not _is_device(disk)
        ]
        # the description comes last: where there is one, there are all of its disks
        files.append(
            Publication(
                partial=partial,
                final=metadata,
                backup=hidden_name(metadata, "backup"),
                mode=0o600 if has_password(domain) else mode,
            )
        )
        publish(files, request.directory, request.ledger)
        return OutputResult(created=(*(disk["final"] for disk in state["disks"]), str(metadata)))

    @hookimpl
    def v2v_output_abort(self, request: OutputAbortRequest) -> None:
        """Delete the hidden files; give back the names of what had them before."""
        clear_away(request.owned, request.directory, request.report)


def _checked_directory(settings: OutputSettings) -> Path:
    """Check the options, and give the directory of ``-os``, absolute.

    :raises UsageError: options are missing or make no sense. :raises DestinationError: the directory cannot be used.
    """
    if settings.password_file is not None:
        raise UsageError("-o local: the option -op cannot be used: there is nothing to log in to")
    if settings.storage is None:
        raise UsageError("-o local: no directory for the output was given", hint="name one with -os DIRECTORY")
    if settings.format not in {"raw", "qcow2"}:
        raise UsageError(f"-o local: the output format {settings.format!r} is not supported", hint="use raw or qcow2")
    if settings.allocation not in {"sparse", "preallocated"}:
        raise UsageError(f"-o local: -oa must be sparse or preallocated, not {settings.allocation!r}")
    if settings.options.flag("compressed") and settings.format != "qcow2":
        raise UsageError("-o local: -oo compressed needs the format qcow2", hint="add -of qcow2")
    # not resolved: the user's own words for the place are what the XML should have
    directory = Path(os.path.abspath(settings.storage))  # noqa: PTH100 - Path.absolute() keeps ".."
    _check_sayable(directory)
    check_output_directory(directory, "-o local -os")
    return directory


def _check_sayable(directory: Path) -> None:
    """Make sure that libvirt's XML can say the path of the directory."""
    try:
        str(directory).encode("utf-8")
    except UnicodeEncodeError as err:
        raise DestinationError(
            "-o local -os: the path of the directory is not UTF-8 and cannot be said in libvirt's XML:"
            f" {str(directory)!r}"
        ) from err
    # libvirt's schema has no such paths, XML 1.0 no such characters
    if re.search("[\x00-\x1f\x7f\ufffe\uffff]", str(directory)):
        raise DestinationError(
            f"-o local -os: the path of the directory has control characters in it: {str(directory)!r}"
        )


def _is_device(disk: dict[str, Any]) -> bool:
    return bool(disk["written"] == disk["final"])


def _in_domain(disk: dict[str, Any], state: Any) -> DomainDisk:
    device = _is_device(disk)
    return DomainDisk(
        type="block" if device else "file",
        source={"dev" if device else "file": disk["final"]},
        format=state["format"],
    )
