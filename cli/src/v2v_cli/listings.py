# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists that programs and people ask for: what virt-v2v supports, what a plugin understands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from v2v_cli.modes import input_mode
from v2v_cli.render.machine import close_channel, open_channel
from v2v_cli.render.sanitize import sanitize
from v2v_core.discovery import Role, installed
from v2v_core.model import PluginOption
from v2v_core.plugins import load_plugin

#: What supervisors ask for before they use an option; only what works here.
_CAPABILITIES = (
    "virt-v2v",
    "virt-v2v-2.0",
    "libguestfs-rewrite",
    "colours-option",
    "vdsm-compat-option",
    "io/oo",
    "mac-option",
    "mac-ip-option",
    "parallel-option",
    "block-driver-option",
    "collect-option",
)
#: What is there with one of these outputs only.
_NEEDS_OUTPUT = {
    "vdsm-compat-option": {"vdsm"},
    "ovf:ovirt": {"ovirt-upload", "vdsm"},
    "ovf:ovirtexp": {"ovirt", "vdsm"},
}


def answer(
    machine_readable: str | None,
    guests: Sequence[str] | None,
    source: tuple[str, str | None, Sequence[str] | None],
    destination: tuple[str, Sequence[str] | None],
) -> bool:
    """Answer ``--machine-readable`` without a guest, ``-io ?`` and ``-oo ?``; tell whether one of them was asked.

    :param source: the mode, the connection and the options of the input.
    :param destination: the mode and the options of the output.
    :raises V2VError: the plugin that was asked about cannot be loaded.
    """
    if machine_readable is not None and not guests:
        _list_capabilities(machine_readable)
        return True
    asked = input_mode(source[0], source[1]), source[2]
    for role, (mode, options) in ((Role.INPUT, asked), (Role.OUTPUT, destination)):
        if "?" in (options or ()):
            _list_plugin_options(role, mode)
            return True
    return False


def _list_capabilities(form: str) -> None:
    inputs, outputs = _names(Role.INPUT), _names(Role.OUTPUT)
    lines = [*_CAPABILITIES]
    if "vcenter" in inputs:
        lines += ["vcenter-https", "vddk"]
    lines += [f"input:{name}" for name in inputs]
    lines += [f"output:{name}" for name in outputs]
    if _names(Role.CONVERT):
        lines.append("convert:linux")
    lines += ["ovf:ovirt", "ovf:ovirtexp"]
    lines = [line for line in lines if line not in _NEEDS_OUTPUT or _NEEDS_OUTPUT[line] & set(outputs)]
    stream = open_channel(form)
    stream.write("".join(f"{line}\n" for line in lines))
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
    """Give an option as ``name=VALUE   what it does``."""
    form = f"{option.name}[=true|false]" if option.flag else f"{option.name}=VALUE"
    notes = [word for word, holds in (("required", option.required), ("repeatable", option.repeatable)) if holds]
    if option.aliases:
        notes.append(f"also: {', '.join(option.aliases)}")
    return sanitize(f"{form:<30} {option.help}" + (f" ({'; '.join(notes)})" if notes else ""))


def _names(role: Role) -> list[str]:
    return sorted({plugin.name for plugin in installed(role)})
