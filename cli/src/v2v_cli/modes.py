# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed modes, for the help and for completion: their names are read, nothing of them is imported."""

from __future__ import annotations

from collections.abc import Callable

#: virt-v2v reaches these through libvirt, and here a plugin does it: the documented command line stays.
_BY_URI = {"vpx": "vcenter", "esx": "vcenter"}


def input_mode(mode: str, connection: str | None) -> str:
    """Return the input mode that is meant: ``-i libvirt -ic vpx://…`` is ``-i vcenter``."""
    scheme = (connection or "").partition("://")[0].lower()
    return _BY_URI.get(scheme, mode) if mode == "libvirt" else mode


def names(role: str) -> tuple[str, ...]:
    """Return the names of the installed plugins of a role."""
    from v2v_core.discovery import Role, installed

    return tuple(dict.fromkeys(plugin.name for plugin in installed(Role(role))))


def sentence(role: str) -> str:
    """Return what the help says about the installed plugins of a role."""
    from v2v_core.discovery import Role, modes

    return f"Installed: {', '.join(mode.listed for mode in modes(Role(role))) or 'none'}."


def completion(role: str) -> Callable[[str], list[str]]:
    """Return the function that completes the name of a plugin of a role."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names(role) if name.startswith(incomplete)]

    return complete
