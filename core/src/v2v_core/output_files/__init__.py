# SPDX-License-Identifier: GPL-2.0-or-later
"""The toolkit for outputs that create files or write block devices. It is public, like ``v2v_core.api``.

It keeps these promises of an output:

* A file has a hidden name until it is whole. ``publish`` gives all files of a guest their final names, or none of them.
* A file that has a final name is an error, also if it appears after the check, or if another run makes it at the same
  moment. With ``overwrite`` it is replaced in the last moment, and comes back if the run fails.
* Every name is in the ledger before it is used, so that ``clear_away`` can undo everything, also in another process
  and after a ``kill -9``. It deletes nothing that this run has not created.

An output calls it in this order; a disk image can be a block device as well, and nothing here has to care::

    from pathlib import Path

    from v2v_core.api import AbortResult, OutputCheckResult, OutputResult, OutputSetup, libvirt_domain
    from v2v_core.output_files import (
        DiskFile, Publication, check_final, check_output_directory, check_space, clear_away, file_mode, hidden_name,
        make_disk, publish, write_partial,
    )


    def check(request):
        directory, overwrite = Path(request.settings.storage), request.settings.overwrite
        check_output_directory(directory, "-o example -os")
        description = directory / "guest.xml"
        for final in [*(directory / f"disk{disk.index}" for disk in request.guest.disks), description]:
            check_final(final, overwrite=overwrite)
        check_space(directory, [disk.size for disk in request.guest.disks], preallocated=False)
        # a second run that is to make the same guest ends now
        return OutputCheckResult(claims=(description,))


    def setup(request):
        directory, overwrite = Path(request.settings.storage), request.settings.overwrite
        disks = [
            DiskFile.beside(directory / f"disk{disk.index}", disk, form="qcow2", overwrite=overwrite)
            for disk in request.disks
        ]
        for disk in disks:
            make_disk(disk, request.ledger, preallocated=False)
        return OutputSetup(
            disks=tuple(disk.service() for disk in disks),
            state={"disks": [(str(disk.written), str(disk.final)) for disk in disks if not disk.device]},
        )


    def finalize(request):
        description = Path(request.settings.storage) / "guest.xml"
        partial = hidden_name(description)
        domain = libvirt_domain(request.metadata, name=request.settings.name, report=request.report)
        write_partial(partial, domain, request.ledger)
        # the description comes last: once it is there, all disks are there
        pairs = [*request.state["disks"], (str(partial), str(description))]
        files = [
            Publication(
                partial=Path(written),
                final=Path(final),
                backup=hidden_name(Path(final), "backup"),
                mode=file_mode(),
                overwrite=request.settings.overwrite,
            )
            for written, final in pairs
        ]
        publish(files, request.directory, request.ledger)
        return OutputResult(created=tuple(final for _, final in pairs))


    def abort(request):
        return AbortResult(left=clear_away(request.owned, request.directory, request.report))
"""

from v2v_core.output_files.disk_files import (
    DiskFile,
    check_device,
    check_final,
    check_not_source,
    check_output_directory,
    check_space,
    make_disk,
    service_programs,
)
from v2v_core.output_files.publication import (
    Opener,
    Publication,
    clear_away,
    file_mode,
    hidden_name,
    name_limit,
    open_new,
    publish,
    write_partial,
)

__all__ = [
    "DiskFile",
    "Opener",
    "Publication",
    "check_device",
    "check_final",
    "check_not_source",
    "check_output_directory",
    "check_space",
    "clear_away",
    "file_mode",
    "hidden_name",
    "make_disk",
    "name_limit",
    "open_new",
    "publish",
    "service_programs",
    "write_partial",
]
