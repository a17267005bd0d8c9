# SPDX-License-Identifier: GPL-2.0-or-later
"""The distributions of this project, for the hint that names the one to install.

The table is fixed. A hint never names a distribution that is made up from the user's words: an attacker could have
registered that name on PyPI, and pip runs code of what it installs. ``tests/packaging`` compares the table with the
distributions of the repository.
"""

from __future__ import annotations

from v2v_core.discovery import Role
from v2v_core.errors import PluginNotFound
from v2v_core.near_names import nearest

#: The modes that each distribution provides, by role.
DISTRIBUTIONS: dict[Role, dict[str, tuple[str, ...]]] = {
    Role.INPUT: {
        "v2v-input-disk": ("disk", "local"),
        "v2v-input-vmware": ("ova", "vcenter", "vmx"),
    },
    Role.CONVERT: {"v2v-convert-guestfs": ("guestfs",)},
    Role.OUTPUT: {
        "v2v-output-local": ("local", "disk", "null"),
        "v2v-output-rhv": (
            *("rhv", "ovirt", "rhev"),
            *("rhv-upload", "rhv_upload", "ovirt-upload", "ovirt_upload"),
            "vdsm",
        ),
    },
    Role.COPY: {"v2v-core": ("nbdcopy",)},
}


def hint_for(error: PluginNotFound) -> str | None:
    """Return the hint for an unknown mode: a distribution that provides it, or a mode with a similar name."""
    known = {
        mode: distribution
        for distribution, modes in DISTRIBUTIONS.get(Role(error.role), {}).items()
        for mode in modes
        if mode not in error.installed
    }
    if error.name in known:
        return f"pip install {known[error.name]}"
    near = nearest(error.name, [*error.installed, *known])
    if near and near[0] in known:
        return f"did you mean {near[0]}? pip install {known[near[0]]}"
    return error.hint
