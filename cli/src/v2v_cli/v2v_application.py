# SPDX-License-Identifier: GPL-2.0-or-later
"""The subcommands of ``v2v``, which have a module each."""

from __future__ import annotations

import sys
from typing import Any

import typer

from v2v_cli.command import GetoptCommand, application, with_options
from v2v_cli.convert_command import convert
from v2v_cli.doctor_command import doctor
from v2v_cli.inspect_command import inspect
from v2v_cli.plugins_command import list_plugins, show_plugin
from v2v_cli.report_command import report
from v2v_cli.resume_command import resume
from v2v_cli.verify_command import verify
from v2v_core import __version__

_HELP = """Convert guests of foreign hypervisors so that they boot on KVM.

Examples:
$ v2v convert guest.vmdk --output-storage /var/lib/libvirt/images
$ v2v doctor
$ v2v plugins list
"""
_PLUGINS_HELP = """List the installed plugins, or show one.

Examples:
$ v2v plugins list
$ v2v plugins show rhv-upload
"""


def version() -> int:
    """Print the version.

    Examples:
    $ v2v version
    """
    sys.stdout.write(f"v2v {__version__}\n")
    return 0


def v2v_command() -> Any:
    """Make ``v2v`` with all its subcommands."""
    app = application(name="v2v", help=_HELP, help_names=("--help", "-h"), completion_options=True)
    for function in (convert, resume, inspect, doctor, report, verify):
        app.command(cls=GetoptCommand)(with_options(function))
    plugins = application(help=_PLUGINS_HELP, help_names=("--help", "-h"), no_args_is_help=True)
    plugins.command("list", cls=GetoptCommand)(with_options(list_plugins))
    plugins.command("show", cls=GetoptCommand)(with_options(show_plugin))
    app.add_typer(plugins, name="plugins")
    app.command(cls=GetoptCommand)(with_options(version))
    return typer.main.get_command(app)
