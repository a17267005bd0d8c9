# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_setup: the plugin creates the destination of each disk, and core serves it on ``out1`` …"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import DestinationError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputSetupRequest
from v2v_core.model import DiskEndpoint
from v2v_core.plugins import load_plugin
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport, running
from v2v_core.serving import serve_destination
from v2v_core.settings import OutputChoice
from v2v_core.steps.output_abort import OUTPUT, abort_output
from v2v_core.steps.output_check import save_choice, settings_of


def run(directory: ConversionDir, choice: OutputChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Set up the output: afterwards ``out1`` … are served and ``output.json`` says where, and what finalize must know.

    Run again after a crash it starts over: what an earlier run created is taken back.

    :raises V2VError: as the plugin says, or a destination cannot be served.
    """
    with running(directory, Step.OUTPUT_SETUP, sinks) as report:
        report.message(
            f"Setting up the destination: -o {choice.mode}" + (f" -os {choice.storage}" if choice.storage else "")
        )
        _forget_earlier_attempt(directory, report)
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        target = metadata.read_target(directory.metadata_out)
        save_choice(directory, choice)
        setup = plugin.output_setup(
            OutputSetupRequest(
                directory=directory.private("output"),
                settings=settings_of(plugin, choice, target.name),
                target=target,
                ledger=directory,
                report=report,
            )
        )
        if setup.copier is not None:
            # what does not exist is found now, and not when the copy begins
            load_plugin(Role.COPY, setup.copier)
        # written before anything is served: if that fails, abort must know the state
        record = {
            "state": dict(setup.state),
            "request_size": setup.request_size,
            "zeroed": setup.zeroed,
            "copier": setup.copier,
        }
        directory.write_json(OUTPUT, record)
        uris = []
        for disk, service in zip(target.disks, setup.disks, strict=True):
            endpoint = serve_destination(directory, disk.index, service, report)
            size = endpoint.size if endpoint.size is not None else int(run_program(["nbdinfo", "--size", endpoint.uri]))
            if disk.size is not None and size < disk.size:
                raise DestinationError(
                    f"the destination of disk {disk.index} is too small: {size} bytes of {disk.size}",
                    hint="choose a larger one",
                )
            uris.append(endpoint.uri)
        directory.write_json(OUTPUT, {**record, "uris": uris})


def _forget_earlier_attempt(directory: ConversionDir, report: StepReport) -> None:
    """Take back what an earlier run of this step began, so that it starts over cleanly."""
    stop_destinations(directory)
    abort_output(directory, report)
    directory.forget_owned()
    (directory.path / OUTPUT).unlink(missing_ok=True)


def destinations(directory: ConversionDir) -> tuple[DiskEndpoint, ...]:
    """Give the destinations that ``run`` set up.

    :raises V2VError: it was not run.
    """
    uris = directory.read_json(OUTPUT).get("uris", [])
    return tuple(DiskEndpoint(index=index, uri=uri) for index, uri in enumerate(uris, start=1))


def stop_destinations(directory: ConversionDir) -> None:
    """Stop serving the destinations; what was written is flushed by then."""
    processes.stop(directory.path, processes.serves("out"), grace=60.0)
