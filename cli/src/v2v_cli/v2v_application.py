# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands of ``v2v``; one module for each."""

from __future__ import annotations

from typing import Any

import typer

from v2v_cli.command import GetoptCommand
from v2v_cli.convert_command import convert, inspect
from v2v_cli.doctor_command import doctor
from v2v_cli.plugins_command import plugins_application
from v2v_cli.report_command import report
from v2v_cli.version_command import version


def application() -> Any:
    """Make the command."""
    app = typer.Typer(
        name="v2v",
        help="Convert guests of foreign hypervisors so that they boot on KVM.",
        pretty_exceptions_enable=False,  # they would show local variables, and with them secrets
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    for function in (convert, inspect, doctor, report):
        app.command(cls=GetoptCommand)(function)
    app.add_typer(plugins_application(), name="plugins")
    app.command()(version)
    return typer.main.get_command(app)
