# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o vdsm`` checks before the conversion begins."""

from __future__ import annotations

from v2v_core.api import DestinationError, OutputCheckRequest, require_program
from v2v_core.output_files import check_device, check_final, check_not_source, check_space, service_programs
from v2v_output_rhv.vdsm.settings import VdsmSettings
from v2v_output_rhv.volumes import check_sizes, meta_file


def check_destination(request: OutputCheckRequest, settings: VdsmSettings) -> None:
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
    for disk in request.guest.disks:
        volume = settings.volume(disk.index)
        check_not_source(volume, request.source_files)
        if check_final(volume):
            check_device(volume, disk.size)
        else:
            new.append(disk.size)
    for description in (settings.ovf, *(meta_file(settings.volume(disk.index)) for disk in request.guest.disks)):
        check_not_source(description, request.source_files)
        if check_final(description):
            raise DestinationError(f"-o vdsm: {description} is a block device and is not replaced")
    # the images may be on another file system than the links that lead to them
    check_space(settings.volume(1).parent, new, preallocated=request.settings.allocation == "preallocated")
