# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o local`` checks before the conversion begins."""

from __future__ import annotations

import os
import re
from pathlib import Path

from v2v_core.api import (
    DestinationError,
    OutputCheckRequest,
    OutputCheckResult,
    OutputPrecheckRequest,
    require_program,
)
from v2v_core.output_files import (
    check_device,
    check_final,
    check_not_source,
    check_output_directory,
    check_space,
    service_programs,
)
from v2v_output_local.local.names import OutputNames
from v2v_output_local.local.settings import LocalSettings

#: Characters that XML 1.0 cannot hold, or that libvirt's schema does not allow in a path.
_NOT_IN_XML = re.compile("[\x00-\x1f\x7f\ufffe\uffff]")


def check_place(request: OutputPrecheckRequest, settings: LocalSettings) -> OutputCheckResult:
    """Check the directory and the programs, and the names of the files if the name of the guest is known.

    :raises DestinationError: one of them prevents the output.
    """
    check_directory(settings.directory)
    for program in service_programs(settings.format):
        require_program(program)
    if not settings.name:
        return OutputCheckResult()
    names = OutputNames.of_guest(settings.directory, settings.name)
    # every guest has a first disk
    for final in (names.metadata(), names.disk(1)):
        check_not_source(final, request.source_files)
    _check_description(names, settings)
    check_final(names.disk(1), overwrite=settings.overwrite)
    return OutputCheckResult(claims=(names.metadata(),))


def check_destination(request: OutputCheckRequest, settings: LocalSettings) -> OutputCheckResult:
    """Check the directory, the programs, the final names and the free space. Create nothing.

    :raises DestinationError: one of them prevents the output.
    """
    check_directory(settings.directory)
    for program in service_programs(settings.format):
        require_program(program)
    names = OutputNames.of_guest(settings.directory, settings.name)
    finals = [names.disk(disk.index) for disk in request.guest.disks]
    # before the names: that a name is taken by the source itself says more than that it is taken
    for final in (names.metadata(), *finals):
        check_not_source(final, request.source_files)
    _check_description(names, settings)
    new: list[int | None] = []
    data = 0
    for disk, final in zip(request.guest.disks, finals, strict=True):
        if check_final(final, overwrite=settings.overwrite):
            check_device(final, disk.size)
        else:
            new.append(disk.size)
            data += request.data.get(disk.index, 0)
    check_space(settings.directory, new, preallocated=settings.preallocated, data=data, report=request.report)
    rest = names.disk(len(finals) + 1)
    if settings.overwrite and os.path.lexists(rest):
        request.report.warning(
            f"{rest} stays: the guest that is replaced had more disks than the new one; delete it if it is not needed"
        )
    return OutputCheckResult(claims=(names.metadata(),))


def _check_description(names: OutputNames, settings: LocalSettings) -> None:
    if check_final(names.metadata(), overwrite=settings.overwrite):
        raise DestinationError(f"{names.metadata()} is a block device and is not replaced")


def check_directory(directory: Path) -> None:
    """Check that files can be created in a directory, and that libvirt's XML can hold its path.

    :raises DestinationError: the directory cannot be used.
    """
    try:
        str(directory).encode("utf-8")
    except UnicodeEncodeError as err:
        raise DestinationError(
            "-o local -os: the path of the directory is not UTF-8 and cannot be written in libvirt's XML:"
            f" {str(directory)!r}"
        ) from err
    if _NOT_IN_XML.search(str(directory)):
        raise DestinationError(
            f"-o local -os: the path of the directory contains control characters: {str(directory)!r}"
        )
    check_output_directory(directory, "-o local -os")
