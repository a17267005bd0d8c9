# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of the packages that belong to a hypervisor, in every family of distributions."""

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
#: Libraries that VMware brought along for its tools, and that others may have come to use.
_LIBRARIES = re.compile(r"vmware-tools-libraries-.*")


def tools_installed(names: frozenset[str]) -> list[str]:
    """List the packages to remove, of those that are installed."""
    found = sorted(name for name in names if _TOOLS.fullmatch(name) and not _LIBRARIES.fullmatch(name))
    if "ubuntu-server" in names:
        # It requires open-vm-tools, which does nothing on KVM; the user would lose more than is gained.
        found = [name for name in found if name != "open-vm-tools"]
    return found


def libraries_installed(names: frozenset[str]) -> list[str]:
    """List the packages to remove if nothing else depends on them."""
    return sorted(name for name in names if _LIBRARIES.fullmatch(name))
