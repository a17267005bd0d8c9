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
    r"kernel-modules-virtualbox-addition-.*|virtualbox-ose-guest(?:-.*)?"
)
_CITRIX = r"xe-guest-utilities.*"
_PARALLELS = r"parallels-tools.*"
_TOOLS = re.compile(f"{_VMWARE}|{_VIRTUALBOX}|{_CITRIX}|{_PARALLELS}")
#: The hypervisors as systemd calls them in ConditionVirtualization=, by the names of their packages.
_HYPERVISORS = {_VMWARE: "vmware", _VIRTUALBOX: "oracle", _CITRIX: "xen", _PARALLELS: "parallels"}
#: Libraries that came with VMware's tools, and that other packages may use.
_LIBRARIES = re.compile(r"vmware-tools-libraries-.*")


def tools_installed(names: frozenset[str]) -> list[str]:
    """Return the packages to remove among the installed ones."""
    return sorted(name for name in names if _TOOLS.fullmatch(name) and not _LIBRARIES.fullmatch(name))


def hypervisor_of(name: str) -> str:
    """Return the hypervisor of a package of tools, as systemd calls it in ConditionVirtualization=."""
    return next(word for pattern, word in _HYPERVISORS.items() if re.fullmatch(pattern, name))


def libraries_installed(names: frozenset[str]) -> list[str]:
    """Return the packages to remove if no other package depends on them."""
    return sorted(name for name in names if _LIBRARIES.fullmatch(name))
