# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed modes. For the help and for completion only their names are read; no plugin is imported."""

from __future__ import annotations

from collections.abc import Callable


def input_mode(mode: str, connection: str | None) -> str:
    """Return the input mode that is meant.

    virt-v2v reaches some hypervisors through libvirt (``-i libvirt -ic vpx://…``). Here a plugin does: the one that has
    the scheme of the URI in its ``uri_schemes``.
    """
    scheme, separator, _ = (connection or "").partition("://")
    if mode != "libvirt" or not separator:
        return mode
    from v2v_core.discovery import Role, modes, words

    claims = (found.plugin for found in modes(Role.INPUT) if scheme.lower() in words(found.plugin, "uri_schemes"))
    plugin = next(claims, None)
    return mode if plugin is None else plugin.name


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
