# SPDX-License-Identifier: GPL-2.0-or-later
"""Step output_finalize: the guest comes into being at the destination."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_core import metadata
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.events import EventSink, Step
from v2v_core.hookspecs import OutputFinalizeRequest, OutputResult
from v2v_core.plugins import load_plugin
from v2v_core.reporting import running
from v2v_core.steps.output_abort import OUTPUT
from v2v_core.steps.output_check import saved_choice, settings_of
from v2v_core.steps.output_setup import stop_destinations


def run(directory: ConversionDir, sinks: Sequence[EventSink] = ()) -> OutputResult:
    """Finalize the output.

    :raises V2VError: as the plugin says; the output is not whole then, and cleanup takes it back.
    """
    with running(directory, Step.OUTPUT_FINALIZE, sinks) as report:
        report.message("Creating output metadata")
        choice = saved_choice(directory)
        plugin = load_plugin(Role.OUTPUT, choice.mode)
        target = metadata.read_target(directory.metadata_out)
        settings = settings_of(plugin, choice, target.name)
        stop_destinations(directory)
        result = plugin.output_finalize(
            OutputFinalizeRequest(
                directory=directory.private("output"),
                settings=settings,
                target=target,
                state=directory.read_json(OUTPUT)["state"],
                domain_xml=metadata.libvirt_domain(directory.metadata_out, name=settings.name, report=report),
                ledger=directory,
                report=report,
            )
        )
        # from here on it is the user's, and no later abort or second setup may touch it
        directory.forget_owned()
        (directory.path / OUTPUT).unlink()
        return result
