# SPDX-License-Identifier: GPL-2.0-or-later
"""Step input_setup: the plugin finds the guest; its metadata is written, its disks are served under overlays."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import PluginContractError, SourceError, V2VError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import InputSetupRequest
from v2v_core.model import DiskService, Guest, QemuImage
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport, running
from v2v_core.serving import serve_source
from v2v_core.settings import InputChoice

#: What output_check must know of the source and the metadata does not say.
INPUT = "input.json"
#: What a conversion writes at least: the overlay of a rebuilt initramfs, the appliance's own files. Bytes.
_SPACE_NEEDED = 1024 * 1024 * 1024


def run(directory: ConversionDir, choice: InputChoice, sinks: Sequence[EventSink] = ()) -> Guest:
    """Set up the input: afterwards ``metadata.in`` and ``in1`` … exist.

    Run again after a crash it starts over: what an earlier run served is stopped, its overlays are gone.

    :raises V2VError: as the plugin says, or a disk cannot be served.
    """
    with running(directory, Step.INPUT_SETUP, sinks) as report:
        words = " ".join(choice.arguments)
        report.message(f"Setting up the source: -i {choice.mode} {words}".rstrip())
        _check_space(directory)
        processes.stop(directory.path, processes.serves("in", "base"))
        plugin = load_plugin(Role.INPUT, choice.mode)
        temporary = directory.overlay / "input"
        temporary.mkdir(mode=0o700, exist_ok=True)
        result = plugin.input_setup(
            InputSetupRequest(
                directory=directory.private("input"),
                arguments=choice.arguments,
                connection=choice.connection,
                format=choice.format,
                transport=choice.transport,
                password_file=choice.password_file,
                options=plugin.check_options(choice.options),
                in_place=choice.in_place,
                temporary=temporary,
                report=report,
            )
        )
        if not result.guest.disks:
            raise SourceError(f"the guest {result.guest.name!r} has no disks", hint="there is nothing to convert")
        if [disk.index for disk in result.guest.disks] != list(range(1, len(result.guest.disks) + 1)):
            raise PluginContractError(plugin.blame, "the disks of its guest are not numbered 1, 2, …")
        if result.guest.tpm is not None:
            report.warning(
                "the guest has a TPM: the target gets an empty one, for which its host needs swtpm; keys that are "
                "sealed in the old one (BitLocker, LUKS) stay behind: have the recovery keys at hand"
            )
        directory.write_json(INPUT, {"source_files": [str(path) for path in _source_files(result.disks)]})
        guest = _serve(directory, result.guest, result.disks, choice, report)
        metadata.write_source(directory.metadata_in, guest, domain_xml=result.domain_xml)
        return guest


def _serve(
    directory: ConversionDir, guest: Guest, services: Sequence[DiskService], choice: InputChoice, report: StepReport
) -> Guest:
    disks = []
    for disk, service in zip(guest.disks, services, strict=True):
        endpoint = serve_source(
            directory,
            disk.index,
            service,
            disk.origin or guest.name,
            in_place=choice.in_place,
            report=report,
        )
        if not endpoint.size:
            raise SourceError(
                f"disk {disk.index} ({disk.origin or guest.name}) is empty: it has 0 bytes",
                hint="check that the whole image was downloaded or exported",
            )
        disks.append(dataclasses.replace(disk, size=endpoint.size))
    return dataclasses.replace(guest, disks=tuple(disks))


def _source_files(services: Sequence[DiskService]) -> Iterator[Path]:
    for service in services:
        image = service if isinstance(service, QemuImage) else None
        while image is not None:
            yield image.path
            image = image.backing


def _check_space(directory: ConversionDir) -> None:
    place = directory.overlay.resolve()
    free = shutil.disk_usage(place).free
    if free < _SPACE_NEEDED:
        raise V2VError(
            f"not enough space for temporary files in {place.parent}: {free // 1024**2} MB are free, "
            f"{_SPACE_NEEDED // 1024**2} MB are needed",
            hint="free some space, or set VIRT_V2V_TMPDIR to a directory on a larger file system",
        )
