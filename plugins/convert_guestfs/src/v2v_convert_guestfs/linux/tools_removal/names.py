# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of hypervisor tools packages in all families of distributions."""

from __future__ import annotations

import re

#: Patterns of whole names.
_VMWARE = (
    r"open-vm-(?:tools|toolbox|dkms|source)(?:-.*)?|vmware-tools-.*|VMwareTools|kmod-vmware-tools.*|"
    r"vmware-open-vm-tools.*|vmware-guest-kmp-.*"
)
_VIRTUALBOX = (
    r"(?i:virtualbox)-guest-(?:additions|tools|utils|x11|dkms|source|modules|kmp|common|desktop-icons).*|"
    r"kernel-modules-virtualbox-addition-.*"
)
_CITRIX = r"xe-guest-utilities.*"
_PARALLELS = r"parallels-tools.*"
_TOOLS = re.compile(f"{_VMWARE}|{_VIRTUALBOX}|{_CITRIX}|{_PARALLELS}")
#: Libraries that came with VMware's tools, and that other packages may use.
_LIBRARIES = re.compile(r"vmware-tools-libraries-.*")


def tools_installed(names: frozenset[str]) -> list[str]:
    """Return the packages to remove among the installed ones."""
    tools = sorted(name for name in names if _TOOLS.fullmatch(name) and not _LIBRARIES.fullmatch(name))
    if "ubuntu-server" in names:
        # ubuntu-server depends on open-vm-tools and would be removed, too. On KVM, open-vm-tools does nothing.
        tools = [name for name in tools if name != "open-vm-tools"]
    return tools


def libraries_installed(names: frozenset[str]) -> list[str]:
    """Return the packages to remove if no other package depends on them."""
    return sorted(name for name in names if _LIBRARIES.fullmatch(name))
