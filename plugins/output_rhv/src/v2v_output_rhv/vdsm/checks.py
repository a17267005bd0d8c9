# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o vdsm`` checks before the conversion begins."""

from __future__ import annotations

import os

from v2v_core.api import (
    DestinationError,
    OutputCheckRequest,
    OutputCheckResult,
    OutputPrecheckRequest,
    OutputSettings,
    require_program,
)
from v2v_core.output_files import check_device, check_final, check_not_source, check_space, service_programs
from v2v_output_rhv.vdsm.settings import VdsmSettings
from v2v_output_rhv.volumes import check_sizes, meta_file


def check_place(request: OutputPrecheckRequest, settings: VdsmSettings) -> OutputCheckResult:
    """Check the directories, the programs, and that no guest of this id was written already.

    :raises DestinationError: something prevents the output, whatever the guest is.
    """
    settings.check_directories()
    for program in service_programs(request.settings.format):
        require_program(program)
    check_not_source(settings.ovf, request.source_files)
    _check_ovf(settings, request.settings)
    return OutputCheckResult(claims=(settings.ovf,))


def check_destination(request: OutputCheckRequest, settings: VdsmSettings) -> OutputCheckResult:
    """Check the disks, the directories, existing files, programs and free space. Create nothing.

    :raises UsageError: the options do not fit the guest.
    :raises DestinationError: something prevents the output.
    """
    check_sizes("-o vdsm", request.guest.disks)
    settings.check_count(len(request.guest.disks))
    settings.check_directories()
    for program in service_programs(request.settings.format):
        require_program(program)
    new: list[int | None] = []
    data = 0
    for disk in request.guest.disks:
        volume = settings.volume(disk.index)
        check_not_source(volume, request.source_files)
        if check_final(volume, overwrite=True):
            check_device(volume, disk.size)
        else:
            new.append(disk.size)
            data += request.data.get(disk.index, 0)
    for description in (settings.ovf, *(meta_file(settings.volume(disk.index)) for disk in request.guest.disks)):
        check_not_source(description, request.source_files)
        if check_final(description, overwrite=True):
            raise DestinationError(f"-o vdsm: {description} is a block device and is not replaced")
    _check_ovf(settings, request.settings)
    # the images may be on another file system than the links that lead to them
    check_space(
        settings.volume(1).parent,
        new,
        preallocated=request.settings.allocation == "preallocated",
        data=data,
        report=request.report,
    )
    return OutputCheckResult(claims=(settings.ovf,))


def _check_ovf(settings: VdsmSettings, given: OutputSettings) -> None:
    if os.path.lexists(settings.ovf) and not given.overwrite:
        raise DestinationError(
            f"-o vdsm: {settings.ovf} exists already: a guest with this id was written before",
            hint="choose another -oo vdsm-vm-uuid, or replace that guest with --overwrite",
        )
