# SPDX-License-Identifier: GPL-2.0-or-later
"""Step cleanup: nothing of the run is left. Works after success, failure, and ``kill -9`` of everybody else."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from v2v_core import metadata, processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import V2VError
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputAbortRequest
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport, running
from v2v_core.steps.output_check import saved_choice, settings_of
from v2v_core.steps.output_setup import OUTPUT


def run(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> None:
    """Stop everything, take back an output that was begun and not finished, remove the directory.

    :raises V2VError: the directory cannot be removed.
    """
    with contextlib.ExitStack() as stack:
        try:
            report = stack.enter_context(running(directory, Step.CLEANUP, sinks))
        except OSError:
            # without space for a log there is all the more reason to clean up
            report = None
        processes.stop(directory.path, processes.is_gone_with_the_run)
        if report is not None:
            _abort_output(directory, report)
    directory.remove()


def _abort_output(directory: ConversionDir, report: StepReport) -> None:
    """Call ``v2v_output_abort`` if the output was begun and not finished; never hides the first error."""
    owned = directory.owned()
    begun = owned or (directory.path / OUTPUT).exists()
    if not begun or Step.OUTPUT_FINALIZE in directory.done():
        return
    try:
        choice = saved_choice(directory)
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        name = choice.name or metadata.read_source(directory.metadata_in).name
        output = directory.read_json(OUTPUT) if (directory.path / OUTPUT).exists() else {"state": {}}
        plugin.output_abort(
            OutputAbortRequest(
                directory=directory.private("output"),
                settings=settings_of(plugin, choice, name),
                owned=owned,
                state=output["state"],
                report=report,
            )
        )
    except V2VError as err:
        named = ", ".join(f"{thing.kind} {thing.identity}" for thing in owned)
        report.warning(f"the unfinished output could not be taken back ({err}); left behind: {named}")
