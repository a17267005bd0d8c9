# SPDX-License-Identifier: GPL-2.0-or-later
"""The installed modes, for the help and for completion: their names are read, nothing of them is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: virt-v2v reaches these through libvirt, and here a plugin does it: the documented command line stays.
_BY_URI = {"vpx": "vcenter", "esx": "vcenter"}


def input_mode(mode: str, connection: str | None) -> str:
    """Give the input mode that is meant: ``-i libvirt -ic vpx://…`` is ``-i vcenter``."""
    scheme = (connection or "").partition("://")[0].lower()
    return _BY_URI.get(scheme, mode) if mode == "libvirt" else mode


@dataclass(frozen=True)
class Modes:
    """Marks an option whose value is the name of a plugin of this role."""

    role: str

    def names(self) -> tuple[str, ...]:
        """Give the names that are installed."""
        from v2v_core.discovery import Role, installed

        return tuple(dict.fromkeys(plugin.name for plugin in installed(Role(self.role))))

    def sentence(self) -> str:
        """Give what the help says about them."""
        return f"Installed: {', '.join(self.names()) or 'none'}."


def completion(role: str) -> Callable[[str], list[str]]:
    """Give the function that completes the name of a plugin of a role."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in Modes(role).names() if name.startswith(incomplete)]

    return complete
