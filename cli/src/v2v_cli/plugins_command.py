# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v plugins list`` and ``v2v plugins show NAME``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from v2v_cli.options.declaration import Argument, Group, flag
from v2v_core import own_stdout

if TYPE_CHECKING:
    from v2v_core.discovery import Role
    from v2v_core.model import TargetProfile


@dataclass(frozen=True, kw_only=True)
class Listing(Group):
    """How the plugins are listed."""

    check: Annotated[bool, flag("--check", help="Import every plugin, and exit with 3 if one is broken.")] = False


@dataclass(frozen=True, kw_only=True)
class Name(Group):
    """Which plugin is shown."""

    name: Annotated[str, Argument(metavar="NAME", help="Name of the plugin, as in -i NAME or -o NAME.")]


def list_plugins(listing: Listing) -> int:
    """List the installed plugins: role, name, distribution, and state.

    Examples:
    $ v2v plugins list
    $ v2v plugins list --check
    """
    from v2v_core.discovery import Role, modes
    from v2v_core.errors import PluginError

    # a plugin that is imported may print something
    own_stdout.take()
    rows, broken = [], []
    for mode in (mode for role in Role for mode in modes(role)):
        plugin = mode.plugin
        state, problem = _look_at(plugin.role, plugin.name) if listing.check else (_module_state(plugin.target), "")
        rows.append((plugin.role.value, mode.listed, f"{plugin.distribution} {plugin.version}", state, problem))
        if problem:
            broken.append(f"{plugin.role} {plugin.name}")
    _write_table([("ROLE", "NAME", "DISTRIBUTION", "STATE" if not listing.check else "SUMMARY", ""), *rows])
    if broken:
        raise PluginError(f"broken: {', '.join(broken)}", hint="'v2v plugins show NAME' says more")
    return 0


def show_plugin(which: Name) -> int:
    """Show a plugin: where it comes from, and the -io or -oo options that it understands.

    Examples:
    $ v2v plugins show vcenter
    """
    from v2v_cli.listings import describe_option
    from v2v_cli.render.sanitize import sanitize
    from v2v_core.discovery import Role, modes
    from v2v_core.errors import PluginError, V2VError
    from v2v_core.near_names import did_you_mean
    from v2v_core.plugins import load_plugin

    stdout = own_stdout.take()
    name = which.name
    every = [mode for role in Role for mode in modes(role)]
    matching = [mode for mode in every if name in {mode.plugin.name, *mode.aliases}]
    if not matching:
        known = ", ".join(mode.listed for mode in every) or "none"
        names = [name for mode in every for name in (mode.plugin.name, *mode.aliases)]
        hint = f"{did_you_mean(name, names)} 'v2v plugins list' lists them".strip()
        raise PluginError(f"no plugin is named {name!r} (installed: {known})", hint=hint)
    broken = False
    for mode in matching:
        plugin = mode.plugin
        lines = [
            f"{plugin.role.value} {plugin.name}",
            *([f"  also named    {', '.join(mode.aliases)}"] if mode.aliases else ()),
            f"  distribution  {plugin.distribution} {plugin.version}",
            f"  class         {plugin.target}",
        ]
        try:
            loaded = load_plugin(plugin.role, plugin.name)
        except V2VError as err:
            broken = True
            lines.append(f"  BROKEN        {err}")
        else:
            lines.append(f"  summary       {loaded.summary or '-'}")
            lines += [f"  guests there  {limit}" for limit in _limits(loaded.profile)]
            lines += (
                ["  options"]
                + [f"    {describe_option(option)}" for option in loaded.options]
                + ([] if loaded.options else ["    none"])
            )
        stdout.write("".join(f"{sanitize(line)}\n" for line in lines))
    if broken:
        raise PluginError(f"the plugin {name!r} is broken", hint="reinstall its distribution")
    return 0


def _limits(profile: TargetProfile) -> Iterator[str]:
    """Yield what guests cannot have at a target, each as the end of a sentence."""
    if not profile.serial_console:
        yield "have no serial console"
    if profile.most_disks is not None:
        yield f"have at most {profile.most_disks} disks"
    if len(profile.firmware) == 1:
        yield f"boot with {profile.firmware[0].value} only"


def _look_at(role: Role, name: str) -> tuple[str, str]:
    """Return the summary of a plugin, and the error if it cannot be loaded."""
    from v2v_core.errors import V2VError
    from v2v_core.plugins import load_plugin

    try:
        return load_plugin(role, name).summary or "-", ""
    except V2VError as err:
        return "BROKEN", str(err)


def _module_state(target: str) -> str:
    # only whether its package exists: nothing of it is imported
    from importlib.util import find_spec

    try:
        spec = find_spec(target.partition(":")[0].partition(".")[0])
    except (ImportError, ValueError):
        spec = None
    return "installed" if spec is not None else "BROKEN: no such module"


def _write_table(rows: list[tuple[str, str, str, str, str]]) -> None:
    from v2v_cli.render.sanitize import sanitize

    clean = [[sanitize(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in clean) for column in range(3)]
    for row in clean:
        padded = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        own_stdout.stdout().write(f"{padded}  {row[3]} {row[4]}".rstrip() + "\n")
