# SPDX-License-Identifier: GPL-2.0-or-later
"""Module aliases of old distributions: the drivers of the network cards and of the disk controller."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.session import Session

#: Old distributions (RHEL 5, SLES 10 and earlier) have one file; its newest name comes first.
_OLD_FILES = ("/etc/modprobe.conf", "/etc/modules.conf", "/etc/conf.modules")
_FILES = (*_OLD_FILES, "/etc/modprobe.conf.local", "/etc/modprobe.d/*")
_ALIAS = re.compile(r"(?P<before>[ \t]*alias[ \t]+(?P<name>eth\d+|scsi_hostadapter\d*)[ \t]+)(?P<driver>\S+)", re.ASCII)
_XEN_ALIAS = re.compile(r"^[ \t]*(alias[ \t]+\S+[ \t]+(?:xennet|xen-vnif|xenblk|xen-vbd))\b", re.ASCII | re.MULTILINE)
_WHAT, _WHY = "aliases name the new drivers", "the old hypervisor's devices are gone"


def set_aliases(session: Session, files: GuestFiles, *, block_driver: str | None, net_driver: str) -> None:
    """Point the aliases to the new drivers, and warn about remaining aliases for Xen drivers.

    :param block_driver: None for IDE disks, whose driver needs no alias.
    :raises ConversionError: a file cannot be written.
    """
    named = False
    for pattern in _FILES:
        for path in files.glob(pattern):
            files.edit(
                path,
                lambda data: aliases(data, block_driver=block_driver, net_driver=net_driver),
                what=_WHAT,
                why=_WHY,
            )
            data = files.read(path) or b""
            named = named or has_adapter(data)
            for alias in xen_aliases(data):
                session.report.warning(f"{path} in the guest has an alias for a Xen driver, check it: {alias}")
    if block_driver is None or named:
        return
    # The mkinitrd of RHEL 4 and 5 reads the disk drivers from this file. Later distributions do not have the file:
    # their tools look at the disks themselves.
    for path in _OLD_FILES:
        if files.glob(path):
            files.edit(path, lambda data: with_adapter(data, block_driver), what=_WHAT, why=_WHY)
            return


def aliases(data: bytes, *, block_driver: str | None, net_driver: str) -> bytes:
    """Set the driver of every ethN and of the first scsi_hostadapter.

    Further scsi_hostadapter lines are removed. Without a block driver, all of them are.
    """
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
            if adapters == 1 and block_driver is not None:
                lines.append(match["before"] + block_driver + line[match.end() :])
    return "\n".join(lines).encode("latin-1")


def has_adapter(data: bytes) -> bool:
    """Return whether there is an alias for scsi_hostadapter."""
    return re.search(rb"^[ \t]*alias[ \t]+scsi_hostadapter\d*[ \t]", data, re.MULTILINE) is not None


def with_adapter(data: bytes, driver: str) -> bytes:
    """Append an alias for scsi_hostadapter."""
    return (ended(data.decode("latin-1")) + f"alias scsi_hostadapter {driver}\n").encode("latin-1")


def xen_aliases(data: bytes) -> list[str]:
    """Return the aliases for Xen drivers."""
    return _XEN_ALIAS.findall(data.decode("latin-1"))
