# SPDX-License-Identifier: GPL-2.0-or-later
"""Logical volumes that LVM does not activate in the appliance: a disk is missing, or their type is not known there."""

from __future__ import annotations

import shlex

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.filesystems.limits import Limit, kernel_release
from v2v_convert_guestfs.session import Session
from v2v_core.api import visible

#: The place of the health in LVM's attributes (lvs(8)), and its letter for missing physical volumes.
_HEALTH, _PARTIAL = 8, "p"


def why_inactive(session: Session, device: str) -> Limit:
    """Return why a logical volume is not active."""
    group, _, volume = device.removeprefix("/dev/").partition("/")
    name = shlex.quote(f"{group}/{volume}")
    try:
        command = f"lvm lvs --noheadings --separator : -o lv_attr,segtype {name} 2>/dev/null"
        listed = str(session.handle.debug("sh", [command]))
    except RuntimeError as err:
        session.report.debug(f"{device}: {brief(err)}")
        listed = ""
    attributes, _, kind = listed.strip().splitlines()[0].strip().partition(":") if listed.strip() else ("", "", "")
    if attributes[_HEALTH : _HEALTH + 1] == _PARTIAL:
        return Limit(
            f"the logical volume {device} is incomplete: physical volumes of its group {group} are missing",
            "give all disks of the guest",
        )
    kind = visible(kind)[:40] or "unknown"
    return Limit(
        f"the logical volume {device} has the type {kind}, which the appliance (kernel "
        f"{kernel_release(session.handle)}) does not activate",
        "convert the volume to an ordinary one at the source (lvconvert), or use an appliance whose LVM and kernel "
        "know this type",
    )
