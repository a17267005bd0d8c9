# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v plugins list`` and ``v2v plugins show NAME``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from v2v_cli.command import GetoptCommand

if TYPE_CHECKING:
    from v2v_core.discovery import Role

_Check = Annotated[bool, typer.Option("--check", help="Import every plugin, and exit with 3 if one is broken.")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="As in -i NAME or -o NAME.")]


def plugins_application() -> typer.Typer:
    """Make the subcommand."""
    app = typer.Typer(help="List the installed plugins, or show one.", no_args_is_help=True)
    app.command("list", cls=GetoptCommand)(list_plugins)
    app.command("show", cls=GetoptCommand)(show_plugin)
    return app


def list_plugins(check: _Check = False) -> int:
    """List the installed plugins: role, name, distribution, and what each is for."""
    from v2v_core.discovery import Role, installed
    from v2v_core.errors import PluginError

    rows = []
    for plugin in (plugin for role in Role for plugin in installed(role)):
        state, problem = _look_at(plugin.role, plugin.name) if check else (_module_state(plugin.target), "")
        rows.append((plugin.role.value, plugin.name, f"{plugin.distribution} {plugin.version}", state, problem))
    _write_table([("ROLE", "NAME", "DISTRIBUTION", "STATE" if not check else "SUMMARY", ""), *rows])
    broken = [f"{role} {name}" for role, name, _distribution, _state, problem in rows if problem]
    if broken:
        raise PluginError(f"broken: {', '.join(broken)}", hint="'v2v plugins show NAME' says more")
    return 0


def show_plugin(name: _Name) -> int:
    """Show a plugin: where it comes from, and the -io or -oo options that it understands."""
    from v2v_cli.listings import describe_option
    from v2v_cli.render.sanitize import sanitize
    from v2v_core.discovery import Role, installed
    from v2v_core.errors import PluginError, V2VError
    from v2v_core.plugins import load_plugin

    every = [plugin for role in Role for plugin in installed(role)]
    matching = [plugin for plugin in every if plugin.name == name]
    if not matching:
        known = ", ".join(sorted({plugin.name for plugin in every})) or "none"
        raise PluginError(f"no plugin is named {name!r} (installed: {known})", hint="'v2v plugins list' lists them")
    broken = False
    for plugin in matching:
        same = sorted({other.name for other in every if other.target == plugin.target and other.role == plugin.role})
        lines = [
            f"{plugin.role.value} {plugin.name}",
            f"  distribution  {plugin.distribution} {plugin.version}",
            f"  class         {plugin.target}",
        ]
        if len(same) > 1:
            lines.append(f"  names         {', '.join(same)}")
        try:
            loaded = load_plugin(plugin.role, plugin.name)
        except V2VError as err:
            broken = True
            lines.append(f"  BROKEN        {err}")
        else:
            lines.append(f"  summary       {loaded.summary or '-'}")
            if not loaded.serial_console:
                lines.append("  guests there  have no serial console")
            lines += (
                ["  options"]
                + [f"    {describe_option(option)}" for option in loaded.options]
                + ([] if loaded.options else ["    none"])
            )
        sys.stdout.write("".join(f"{sanitize(line)}\n" for line in lines))
    if broken:
        raise PluginError(f"the plugin {name!r} is broken", hint="reinstall its distribution")
    return 0


def _look_at(role: Role, name: str) -> tuple[str, str]:
    """Give the summary of a plugin, and what is wrong with it."""
    from v2v_core.errors import V2VError
    from v2v_core.plugins import load_plugin

    try:
        return load_plugin(role, name).summary or "-", ""
    except V2VError as err:
        return "BROKEN", str(err)


def _module_state(target: str) -> str:
    # without importing anything of it: whether its package is there at all
    from importlib.util import find_spec

    try:
        found = find_spec(target.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        found = None
    return "installed" if found is not None else "BROKEN: no such module"


def _write_table(rows: list[tuple[str, str, str, str, str]]) -> None:
    from v2v_cli.render.sanitize import sanitize

    clean = [[sanitize(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in clean) for column in range(3)]
    for row in clean:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        sys.stdout.write(f"{padded}  {row[3]} {row[4]}".rstrip() + "\n")
