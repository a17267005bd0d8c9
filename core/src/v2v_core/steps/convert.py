# SPDX-License-Identifier: GPL-2.0-or-later
"""Step convert: the converter changes the guest on ``in1`` …, and ``metadata.out`` says what became of it.

It needs ``metadata.in`` and the endpoints that are named there, whoever made them: somebody else's endpoints are
converted in place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import CommandError, SourceError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import ConvertRequest, ConvertResult
from v2v_core.model import DiskEndpoint, Guest, TargetDisk, TargetGuest
from v2v_core.nic_mapping import map_nics
from v2v_core.plugins import load_plugin
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport, running
from v2v_core.settings import ConvertChoice


def run(directory: ConversionDir, choice: ConvertChoice, sinks: Sequence[EventSink] = ()) -> TargetGuest:
    """Convert: afterwards the disks behind the endpoints are changed, and ``metadata.out`` exists.

    :raises V2VError: as the plugin says.
    """
    with running(directory, Step.CONVERT, sinks) as report:
        guest = metadata.read_source(directory.metadata_in)
        nics = map_nics(guest.nics, choice.nics)
        disks = _endpoints(directory)
        plugin = load_plugin(Role.CONVERT, choice.mode)
        result = plugin.convert(
            ConvertRequest(
                directory=directory.private("convert"),
                temporary=directory.overlay,
                guest=guest,
                disks=disks,
                settings=choice.settings,
                report=report,
            )
        )
        for change in result.changes:
            if (change.path, change.what, change.why) not in report.changes:
                report.changed(change.path, change.what, change.why)
        target = dataclasses.replace(_target(guest, result, report), nics=nics)
        metadata.write_target(directory.metadata_out, directory.metadata_in, target)
        return target


def _target(guest: Guest, result: ConvertResult, report: StepReport) -> TargetGuest:
    report.message("Assigning disks to buses")
    disks, removables, warnings = metadata.assign_buses(guest, result.capabilities, boot_disk=result.boot_disk)
    for warning in warnings:
        report.warning(warning)
    return TargetGuest(
        source=guest,
        inspection=result.inspection,
        capabilities=result.capabilities,
        firmware=result.firmware,
        disks=tuple(_sized(disk, guest) for disk in disks),
        removables=removables,
        changes=result.changes,
    )


def _sized(disk: TargetDisk, guest: Guest) -> TargetDisk:
    return dataclasses.replace(disk, size=next(source.size for source in guest.disks if source.index == disk.index))


def _endpoints(directory: ConversionDir) -> tuple[DiskEndpoint, ...]:
    """Give the endpoints of the disks, each seen to be served.

    :raises SourceError: one is not.
    """
    endpoints = []
    for endpoint in metadata.endpoints(directory.metadata_in, directory.path):
        try:
            size = int(run_program(["nbdinfo", "--size", endpoint.uri], timeout=60))
        except CommandError as err:
            raise SourceError(
                f"disk {endpoint.index} is not served at {endpoint.uri}: {err.stderr_tail.strip()}",
                hint="run the input step first, and on the same directory",
            ) from err
        endpoints.append(dataclasses.replace(endpoint, size=size))
    return tuple(endpoints)
