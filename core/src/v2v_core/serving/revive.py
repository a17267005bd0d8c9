# SPDX-License-Identifier: GPL-2.0-or-later
"""Serving disks again, as ``source.json`` and ``output.json`` say, after a server or the whole machine has ended."""

from __future__ import annotations

import dataclasses

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import SourceError
from v2v_core.model import DiskEndpoint, DiskService, NbdUri
from v2v_core.reporting import StepReport
from v2v_core.served import ServedDisk
from v2v_core.serving.disks import running_servers, serve_destination, serve_source


def revive(directory: ConversionDir, report: StepReport, *, keep_overlays: bool) -> None:
    """Serve all disks again that are recorded and not served now, and write down where.

    :param keep_overlays: what was written to the disks of the source is still there; else each gets a new overlay.
    :raises V2VError: one cannot be served.
    """
    source = served.read_recorded_source(directory)
    if source is not None:
        disks = tuple(
            serve_source_again(directory, disk, keep_overlay=keep_overlays, report=report) for disk in source.disks
        )
        served.write_source(directory, dataclasses.replace(source, disks=disks))
    output = served.find_output(directory)
    if output is not None:
        endpoints = tuple(
            serve_destination_again(directory, index, service, report)
            for index, service in enumerate(output.services, start=1)
        )
        served.write_output(directory, dataclasses.replace(output, disks=endpoints))


def serve_source_again(
    directory: ConversionDir, disk: ServedDisk, *, keep_overlay: bool, report: StepReport
) -> ServedDisk:
    """Serve a disk of the source again: start those of its servers that do not run.

    :param keep_overlay: what the conversion has written is kept; else the disk gets a new overlay.
    :return: the record of the disk as it is served now.
    :raises SourceError: it cannot be served, or is not as large as it was.
    """
    if disk.service is None:
        # another supervisor serves it
        return disk
    origin = disk.origin or f"disk {disk.index}"
    if keep_overlay and disk.overlay is not None and not disk.overlay.exists():
        raise SourceError(
            f"disk {disk.index} ({origin}) cannot be served again: its overlay {disk.overlay} is gone",
            hint="the conversion has to be repeated: run the input step again",
        )
    again = serve_source(
        directory,
        disk.index,
        disk.service,
        origin,
        in_place=disk.overlay is None,
        keep_overlay=keep_overlay,
        only_missing=True,
        report=report,
    )
    if again.size != disk.size:
        raise SourceError(
            f"disk {disk.index} ({origin}) has changed: it had {disk.size} bytes, and has {again.size} now",
            hint="begin again with a new directory",
        )
    return dataclasses.replace(again, version=disk.version)


def serve_destination_again(
    directory: ConversionDir, index: int, service: DiskService, report: StepReport
) -> DiskEndpoint:
    """Serve a destination again, unless it is being served.

    :raises DestinationError: it cannot be served.
    """
    if not isinstance(service, NbdUri):
        recorded = {disk.index: disk for disk in served.read_output(directory).disks}
        if index in recorded and f"out{index}" in running_servers(directory):
            return recorded[index]
        processes.stop(directory.path, lambda process: process.server == f"out{index}", grace=60.0)
    return serve_destination(directory, index, service, report)
