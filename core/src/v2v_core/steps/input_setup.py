# SPDX-License-Identifier: GPL-2.0-or-later
"""Step input_setup: the plugin finds the guest; core writes its metadata and serves its disks under overlays."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from v2v_core import metadata, processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import PluginContractError, SourceError, V2VError
from v2v_core.events import EventSink, Step
from v2v_core.file_versions import version_of
from v2v_core.hardware import read_hardware
from v2v_core.hookspecs import InputResult, InputSetupRequest
from v2v_core.mac_addresses import with_addresses
from v2v_core.model import DiskService, Guest, QemuImage
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport, running
from v2v_core.served import ServedDisk, ServedSource
from v2v_core.serving import serve_source
from v2v_core.settings import InputChoice
from v2v_core.space import DIRECTORY_NEEDED, OVERLAY_NEEDED, amount, free_space, likely_growth
from v2v_core.steps.abort import take_back


def run(
    directory: ConversionDir, choice: InputChoice, sinks: Sequence[EventSink] = (), *, metadata_only: bool = False
) -> Guest:
    """Set up the input. Afterwards ``metadata.in`` and ``in1`` … exist.

    Run again after a crash, the step starts over: it stops the servers of the earlier run and makes new overlays.

    :param metadata_only: the content of the disks is not wanted.
    :raises V2VError: the plugin failed, or a disk cannot be served.
    """
    with running(directory, Step.INPUT_SETUP, sinks) as report:
        words = " ".join(choice.arguments)
        report.message(f"Setting up the source: -i {choice.mode} {words}".rstrip())
        hardware = read_hardware(choice.hardware)
        _check_space(directory)
        _undo_earlier_attempt(directory, report)
        plugin = load_plugin(Role.INPUT, choice.mode)
        options = plugin.check_options(choice.options)
        # what an abort needs of a secret, the plugin leaves in its own directory
        recorded = dataclasses.replace(choice, options=plugin.without_secrets(choice.options))
        ledger = directory.ledger.begin(Role.INPUT, recorded, words)
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
                options=options,
                in_place=choice.in_place,
                temporary=temporary,
                metadata_only=metadata_only,
                ledger=ledger,
                report=report,
            )
        )
        if not result.guest.disks:
            raise SourceError(f"the guest {result.guest.name!r} has no disks", hint="there is nothing to convert")
        if [disk.index for disk in result.guest.disks] != list(range(1, len(result.guest.disks) + 1)):
            raise PluginContractError(plugin.blame, "the disks of its guest are not numbered 1, 2, …")
        known = hardware.applied_to(result, report, mode=choice.mode, in_place=choice.in_place)
        if known.tpm is not None:
            report.warning(
                "the guest has a TPM: the target gets an empty one, for which its host needs swtpm; keys that are "
                "sealed in the old one (BitLocker, LUKS) stay behind: have the recovery keys at hand"
            )
        disks = _serve(directory, known, result, choice, report)
        if not choice.in_place:
            _warn_of_space(directory, disks, report)
        guest = dataclasses.replace(
            known,
            disks=tuple(
                dataclasses.replace(disk, size=served_disk.size)
                for disk, served_disk in zip(known.disks, disks, strict=True)
            ),
            nics=with_addresses(known.nics, report),
        )
        metadata.write_source(directory.metadata_in, guest, domain_xml=hardware.domain_xml or result.domain_xml)
        served.write_source(
            directory, ServedSource(disks=disks, files=tuple(_source_files(result.disks)), in_place=choice.in_place)
        )
        return guest


def _undo_earlier_attempt(directory: ConversionDir, report: StepReport) -> None:
    """Stop what an earlier run of this step serves, and take back what it created at the source."""
    processes.stop(directory.path, processes.serves("in", "base", "far"))
    served.forget_source(directory)
    directory.metadata_in.unlink(missing_ok=True)
    left = take_back(directory, Role.INPUT, report)
    if left:
        raise SourceError(
            f"an earlier attempt left {left[0].kind} {left[0].identity} behind, which cannot be deleted now",
            hint=f"see the warnings, and run this step again, or helper-v2v-cleanup --dir {directory.path}",
        )


def _serve(
    directory: ConversionDir, guest: Guest, result: InputResult, choice: InputChoice, report: StepReport
) -> tuple[ServedDisk, ...]:
    disks = []
    versions = result.versions or (None,) * len(result.disks)
    for disk, service, version in zip(guest.disks, result.disks, versions, strict=True):
        # asked for before anything is read: what changes meanwhile is noticed
        known = version_of(service) or version
        served_disk = serve_source(
            directory,
            disk.index,
            service,
            disk.origin or guest.name,
            in_place=choice.in_place,
            report=report,
        )
        if not served_disk.size:
            raise SourceError(
                f"disk {disk.index} ({disk.origin or guest.name}) is empty: it has 0 bytes",
                hint="check that the whole image was downloaded or exported",
            )
        disks.append(dataclasses.replace(served_disk, version=known))
    return tuple(disks)


def _source_files(services: Sequence[DiskService]) -> Iterator[Path]:
    for service in services:
        image = service if isinstance(service, QemuImage) else None
        while image is not None:
            yield image.path
            image = image.backing


def _warn_of_space(directory: ConversionDir, disks: Sequence[ServedDisk], report: StepReport) -> None:
    place = directory.overlay.resolve()
    free, likely = free_space(place), likely_growth(disk.size for disk in disks)
    if free is not None and free < likely:
        report.warning(
            f"there may not be enough space for temporary files in {place.parent}: {amount(free)} are free, and the "
            f"conversion of these disks may take {amount(likely)}; free some space, or set VIRT_V2V_TMPDIR"
        )


def _check_space(directory: ConversionDir) -> None:
    place = directory.overlay.resolve()
    free = shutil.disk_usage(place).free
    if free < OVERLAY_NEEDED:
        raise V2VError(
            f"not enough space for temporary files in {place.parent}: {amount(free)} are free, "
            f"{amount(OVERLAY_NEEDED)} are needed",
            hint="free some space, or set VIRT_V2V_TMPDIR to a directory on a larger file system",
        )
    left = shutil.disk_usage(directory.path).free
    if left < DIRECTORY_NEEDED:
        raise V2VError(
            f"not enough space for the conversion directory in {directory.path.parent}: {amount(left)} are free, "
            f"{amount(DIRECTORY_NEEDED)} are needed",
            hint="free some space, or set TMPDIR to a directory on a larger file system",
        )
