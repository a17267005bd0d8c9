# SPDX-License-Identifier: GPL-2.0-or-later
"""Correct the names of btrfs subvolumes in libguestfs's answers.

The appliance's kernel may find the disks in another order than they were added. libguestfs translates the names of
devices in both directions, but in its answers not those inside the names of subvolumes. btrfsvol:/dev/sdc/@ may be on
/dev/sdb then, and mounting it under that name mounts another disk or fails.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.filesystems.limits import base_device
from v2v_convert_guestfs.session import Session

#: A disk of the appliance, and the number of its SCSI target, which counts the disks in the order of adding.
_TARGET = re.compile(r"/sys/block/(sd[a-z]{1,3})/device/scsi_device/\d+:\d+:(\d+):\d+")
_NAME = re.compile(r"btrfsvol:/dev/(sd[a-z]{1,3})(\d*/.*)", re.DOTALL)


def translated(session: Session, names: Sequence[str]) -> dict[str, str]:
    """Return the name with which libguestfs can be asked, by each name from its answers."""
    handle = session.handle
    if not any(_NAME.fullmatch(name) for name in names):
        return {name: name for name in names}
    try:
        disks = [str(disk) for disk in handle.list_devices()]
        order = _kernel_order(handle) if len(disks) > 1 else {}
    except RuntimeError as err:
        session.report.debug(f"the appliance does not say in which order it has found the disks: {brief(err)}")
        order = {}
    return {name: _translate(session, name, disks, order) if order else name for name in names}


def _kernel_order(handle: Handle) -> dict[str, int]:
    """Return the place of each disk in the order of adding, from 0, by the name that the kernel has for it."""
    found = str(handle.debug("sh", ["ls -d /sys/block/sd*/device/scsi_device/*"]))
    return {match[1]: int(match[2]) for match in _TARGET.finditer(found)}


def _translate(session: Session, name: str, disks: Sequence[str], order: Mapping[str, int]) -> str:
    match = _NAME.fullmatch(name)
    place = order.get(match[1]) if match else None
    if match is None or place is None or place >= len(disks):
        return name
    better = f"btrfsvol:{disks[place]}{match[2]}"
    # A libguestfs that translates these names itself is left alone.
    return better if session.filesystems.get(base_device(better)) == "btrfs" else name
