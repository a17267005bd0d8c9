# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_setup: the plugin creates the destination of each disk, and core serves it on ``out1`` …"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from v2v_core import metadata, processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import DestinationError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputSetupRequest
from v2v_core.model import SourceDisk, TargetGuest
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport, running
from v2v_core.served import ServedOutput
from v2v_core.serving import serve_destination, without_secrets
from v2v_core.settings import OutputChoice
from v2v_core.steps.abort import take_back
from v2v_core.steps.output_check import reserve_names
from v2v_core.steps.output_choice import save_choice, settings_of


def run(directory: ConversionDir, choice: OutputChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Set up the output. Afterwards ``out1`` … are served, and ``output.json`` holds their URIs and the plugin's state.

    The guest may be converted before or afterwards. Run again after a crash, the step starts over: the plugin that
    created something in an earlier run takes it back.

    :raises V2VError: the plugin failed, or a destination cannot be served.
    """
    with running(directory, Step.OUTPUT_SETUP, sinks) as report:
        report.message(
            f"Setting up the destination: -o {choice.mode}" + (f" -os {choice.storage}" if choice.storage else "")
        )
        _undo_earlier_attempt(directory, report)
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        guest = metadata.read_source(directory.metadata_in)
        settings = settings_of(plugin, choice, guest.name)
        save_choice(directory, choice)
        # a supervisor that has not reserved the name earlier needs it from here on
        reserve_names(directory)
        disks = _sized(guest.disks, directory)
        ledger = directory.ledger.begin(Role.OUTPUT, choice, settings.name)
        temporary = directory.overlay / "output"
        temporary.mkdir(mode=0o700, exist_ok=True)
        setup = plugin.output_setup(
            OutputSetupRequest(
                directory=directory.private("output"),
                settings=settings,
                guest=dataclasses.replace(guest, disks=disks),
                disks=disks,
                ledger=ledger,
                temporary=temporary,
                target=_target(directory),
                report=report,
            )
        )
        if setup.copier is not None:
            # a copier that does not exist is found now, and not when the copy begins
            load_plugin(Role.COPY, setup.copier)
        output = ServedOutput(
            owner=ledger.owner,
            state=dict(setup.state),
            request_size=setup.request_size,
            zeroed=setup.zeroed,
            copier=setup.copier,
            sink=setup.sink,
            rewritable=setup.rewritable,
            identities=setup.identities,
        )
        # written before anything is served, because abort must know the state if serving fails
        served.write_output(directory, output)
        endpoints, services = [], []
        for disk, described in zip(disks, setup.disks, strict=True):
            service = without_secrets(directory, "out", disk.index, described)
            endpoint = serve_destination(directory, disk.index, service, report)
            if disk.size is not None and endpoint.size is not None and endpoint.size < disk.size:
                raise DestinationError(
                    f"the destination of disk {disk.index} is too small: {endpoint.size} bytes of {disk.size}",
                    hint="choose a larger one",
                )
            endpoints.append(endpoint)
            services.append(service)
        served.write_output(directory, dataclasses.replace(output, disks=tuple(endpoints), services=tuple(services)))


def _target(directory: ConversionDir) -> TargetGuest | None:
    """Return the converted guest, or None if it is not converted yet, or is being converted again."""
    if Step.CONVERT not in directory.done():
        return None
    return metadata.read_target(directory.metadata_out)


def _sized(disks: tuple[SourceDisk, ...], directory: ConversionDir) -> tuple[SourceDisk, ...]:
    sizes = {disk.index: disk.size for disk in served.read_source(directory).disks}
    return tuple(dataclasses.replace(disk, size=sizes[disk.index]) for disk in disks)


def _undo_earlier_attempt(directory: ConversionDir, report: StepReport) -> None:
    """Take back what an earlier run of this step began, so that it starts over cleanly.

    :raises DestinationError: something cannot be deleted. It must be neither forgotten nor taken for an object of this
        attempt.
    """
    stop_destinations(directory)
    left = take_back(directory, Role.OUTPUT, report)
    if left:
        raise DestinationError(
            f"an earlier attempt left {left[0].kind} {left[0].identity} behind, which cannot be deleted now",
            hint=f"see the warnings, and run this step again, or helper-v2v-cleanup --dir {directory.path}",
        )
    served.forget_output(directory)


def stop_destinations(directory: ConversionDir) -> None:
    """Stop serving the destinations. What was written to them has been flushed by then."""
    processes.stop(directory.path, processes.serves("out"), grace=60.0)
