# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists for programs and people: what this virt-v2v can do, and which options a plugin understands."""

from __future__ import annotations

import sys

from v2v_cli.modes import input_mode
from v2v_cli.options.destination import Destination
from v2v_cli.options.source import Source
from v2v_cli.render.machine import close_channel, open_channel
from v2v_cli.render.sanitize import sanitize
from v2v_core.discovery import Role, installed, modes, words
from v2v_core.model import PluginOption
from v2v_core.plugins import load_plugin

#: What the command line itself can do. Supervisors ask for these words before they use an option.
_CAPABILITIES = (
    "virt-v2v",
    "virt-v2v-2.0",
    "libguestfs-rewrite",
    "colours-option",
    "io/oo",
    "mac-option",
    "bandwidth-option",
    "mac-ip-option",
    "parallel-option",
    "block-driver-option",
    "map-option",
    "guest-hardware-options",
)


def list_what_was_asked_for(source: Source, destination: Destination) -> bool:
    """Answer ``-io ?`` and ``-oo ?``; return whether one of them was asked.

    :raises V2VError: the plugin that was asked about cannot be loaded.
    """
    mode = input_mode(source.mode, source.connection)
    for role, name, options in (
        (Role.INPUT, mode, source.options),
        (Role.OUTPUT, destination.mode, destination.options),
    ):
        if ("?", None) in options:
            _list_plugin_options(role, name)
            return True
    return False


def list_capabilities(form: str) -> None:
    """Write what this virt-v2v can do, one word a line, to the channel that ``--machine-readable`` names.

    :raises UsageError: it cannot be opened.
    """
    every = {role: installed(role) for role in (Role.INPUT, Role.OUTPUT)}
    lines = [
        *_CAPABILITIES,
        *(word for role in Role for mode in modes(role) for word in words(mode.plugin, "capabilities")),
        *(f"{role}:{plugin.name}" for role, plugins in every.items() for plugin in plugins),
    ]
    stream = open_channel(form)
    stream.write("".join(f"{line}\n" for line in dict.fromkeys(lines)))
    close_channel(stream)


def _list_plugin_options(role: Role, mode: str) -> None:
    plugin = load_plugin(role, mode)
    flag = "io" if role is Role.INPUT else "oo"
    if not plugin.options:
        sys.stdout.write(f"There are no {role.value} options for -{flag[0]} {mode}.\n")
        return
    sys.stdout.write(f"{role.value.capitalize()} options of -{flag[0]} {mode}:\n\n")
    for option in plugin.options:
        sys.stdout.write(f"  -{flag} {describe_option(option)}\n")


def describe_option(option: PluginOption) -> str:
    """Return a line about an option: ``name=VALUE   what it does``."""
    form = f"{option.name}[=true|false]" if option.flag else f"{option.name}=VALUE"
    notes = [word for word, holds in (("required", option.required), ("repeatable", option.repeatable)) if holds]
    if option.aliases:
        notes.append(f"also: {', '.join(option.aliases)}")
    return sanitize(f"{form:<30} {option.help}" + (f" ({'; '.join(notes)})" if notes else ""))
