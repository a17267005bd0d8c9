# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``-o rhv`` checks before the conversion begins."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from v2v_core.api import (
    DestinationError,
    OutputCheckRequest,
    OutputPrecheckRequest,
    OutputSettings,
    UsageError,
    require_program,
)
from v2v_core.output_files import check_space, service_programs
from v2v_output_rhv.export_domain.ownership import VdsmFiles, runs_as_vdsm
from v2v_output_rhv.export_domain.storage import Storage, naming_failures
from v2v_output_rhv.volumes import check_sizes


def check_settings(settings: OutputSettings) -> None:
    """Refuse options that ``-o rhv`` cannot use.

    :raises UsageError: one was given.
    """
    if settings.password_file is not None:
        raise UsageError("-o rhv: the option -op cannot be used: there is nothing to log in to")
    if settings.format not in {"raw", "qcow2"}:
        raise UsageError(f"-o rhv: the format {settings.format!r} is not supported", hint="use raw or qcow2")


def check_place(request: OutputPrecheckRequest) -> None:
    """Check the programs, the domain and its permissions. Create nothing.

    :raises DestinationError: one of them prevents the output, whatever the guest is.
    """
    with _usable_domain(request.settings, request.directory):
        pass


def check_destination(request: OutputCheckRequest) -> None:
    """Check the disks, the programs, the domain, its permissions and the free space. Create nothing.

    :raises DestinationError: one of them prevents the output.
    """
    settings = request.settings
    check_sizes("-o rhv", request.guest.disks)
    with _usable_domain(settings, request.directory) as domain:
        sizes = [disk.size for disk in request.guest.disks]
        check_space(
            domain / "images",
            sizes,
            preallocated=settings.allocation == "preallocated",
            data=sum(request.data.values()),
            report=request.report,
        )
    if not runs_as_vdsm():
        request.report.warning(
            "files of an export storage domain belong to user and group 36 (vdsm, kvm), and only root can give them"
            " away: oVirt may be unable to import the guest"
        )


@contextlib.contextmanager
def _usable_domain(settings: OutputSettings, directory: Path) -> Iterator[Path]:
    """Keep the domain mounted for the length of a ``with`` block, after a check that it can be written."""
    for program in service_programs(settings.format):
        require_program(program)
    storage = Storage.of(settings, directory)
    with storage.mounted():
        domain = storage.domain()
        with naming_failures(f"{storage.named(domain)} cannot be used"), VdsmFiles(domain) as files:
            for place in ("images", "master/vms"):
                if not files.can_make_files_in(place):
                    raise DestinationError(
                        f"-o rhv: no files can be made in {storage.named(domain / place)}",
                        hint="run as root, or as the user vdsm; its file system must not be read-only",
                    )
        yield domain
