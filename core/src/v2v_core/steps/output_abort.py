# SPDX-License-Identifier: GPL-2.0-or-later
"""Taking an unfinished output back: what the hook ``v2v_output_abort`` is called for. Part of the steps around it."""

from __future__ import annotations

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.errors import V2VError
from v2v_core.events import Step
from v2v_core.hookspecs import OutputAbortRequest
from v2v_core.plugins import load_plugin
from v2v_core.reporting import StepReport
from v2v_core.steps.output_check import saved_choice, settings_of

#: What ``v2v_output_setup`` gave back, for copy, finalize and abort.
OUTPUT = "output.json"


def abort_output(directory: ConversionDir, report: StepReport) -> None:
    """Take the output back if it was begun and not finished. Never raises: the first error is the one to show."""
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
