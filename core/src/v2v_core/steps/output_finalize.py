# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_finalize: the plugin makes the guest exist at the destination."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core import metadata, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.hookspecs import OutputFinalizeRequest, OutputResult
from v2v_core.plugins import load_plugin
from v2v_core.reporting import running
from v2v_core.steps.abort import chosen_output
from v2v_core.steps.output_choice import settings_of
from v2v_core.steps.output_setup import stop_destinations
from v2v_core.text import printable


def run(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> OutputResult:
    """Finalize the output.

    :raises V2VError: the plugin failed. The output is not whole then, and the cleanup takes it back.
    """
    with running(directory, Step.OUTPUT_FINALIZE, sinks) as report:
        report.message("Creating output metadata")
        output = served.read_output(directory)
        choice = chosen_output(directory, output.owner)
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        target = metadata.read_target(directory.metadata_out)
        stop_destinations(directory)
        result = plugin.output_finalize(
            OutputFinalizeRequest(
                directory=directory.private("output"),
                settings=settings_of(plugin, choice, target.name),
                target=target,
                state=output.state,
                metadata=directory.metadata_out,
                ledger=directory.ledger.of(output.owner),
                report=report,
            )
        )
        # asked before the account is settled
        kinds = {thing.identity: thing.kind for thing in directory.ledger.owned()}
        # from here on the guest belongs to the user, and no later abort or second setup may touch it
        directory.ledger.settle(output.owner)
        served.forget_output(directory)
        for name in result.created:
            # bytes of a path that are no text are in the result only
            path = name if printable(name) == name else None
            what = kinds.get(name)
            report.emit(Event(kind=EventKind.CREATED, step=Step.OUTPUT_FINALIZE, text=name, path=path, what=what))
        return result


def mode_of_output(directory: ConversionDir) -> str:
    """Return the mode of the output that was set up.

    :raises V2VError: none was set up.
    """
    return chosen_output(directory, served.read_output(directory).owner).mode
