# SPDX-License-Identifier: GPL-2.0-or-later
"""Aliases of old: which driver eth0 has, which one the disk controller."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles

_FILES = (
    "/etc/conf.modules",
    "/etc/modules.conf",
    "/etc/modprobe.conf",
    "/etc/modprobe.conf.local",
    "/etc/modprobe.d/*",
)
_ALIAS = re.compile(r"(?P<before>[ \t]*alias[ \t]+(?P<name>eth\d+|scsi_hostadapter\d*)[ \t]+)(?P<driver>\S+)", re.ASCII)


def set_aliases(files: GuestFiles, *, block_driver: str, net_driver: str) -> None:
    """Let the aliases name the new drivers.

    :raises ConversionError: a file cannot be written.
    """
    for pattern in _FILES:
        for path in files.glob(pattern):
            files.edit(
                path,
                lambda data: aliases(data, block_driver=block_driver, net_driver=net_driver),
                what="aliases name the new drivers",
                why="the old hypervisor's devices are gone",
            )


def aliases(data: bytes, *, block_driver: str, net_driver: str) -> bytes:
    """Set the driver of ethN, and of the first scsi_hostadapter; further ones of those go."""
    lines: list[str] = []
    adapters = 0
    for line in data.decode("latin-1").split("\n"):
        match = _ALIAS.match(line)
        if not match:
            lines.append(line)
        elif match["name"].startswith("eth"):
            lines.append(match["before"] + net_driver + line[match.end() :])
        else:
            adapters += 1
            if adapters == 1:
                lines.append(match["before"] + block_driver + line[match.end() :])
    return "\n".join(lines).encode("latin-1")
