# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the device in the appliance that a stable name of the guest means: by UUID, label, partition, volume, array."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Session

_MAPPED = "/dev/mapper/"
_BY_UUID = "/dev/disk/by-uuid/"
_BY_LVM = re.compile(r"/dev/disk/by-id/dm-uuid-LVM-([0-9A-Za-z]{32})([0-9A-Za-z]{32})")
_BY_LABEL = "/dev/disk/by-label/"
_BY_PARTITION_NAME = re.compile(r"(?:PARTLABEL=|/dev/disk/by-partlabel/)\"?([^\"\s]+)\"?")
_ARRAY = re.compile(r"/dev/md(?:/|_)?([\w.-]+)", re.ASCII)
_BY_PARTITION = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)\"?([0-9A-Fa-f-]{36})\"?")


def device_of(session: Session, device: str, opened: Mapping[str, str]) -> str:
    """Return the name that a device has in the appliance, or the given one if it cannot be found.

    :param opened: the devices that were opened with a key, by their names in crypttab.
    """
    if device in session.filesystems:
        return device
    try:
        return _found(session, device, opened) or device
    except RuntimeError as err:
        session.report.debug(f"{device} is not found: {brief(err)}")
        return device


def _found(session: Session, device: str, opened: Mapping[str, str]) -> str | None:
    found: str | None = None
    if device.startswith(_MAPPED):
        found = opened.get(device.removeprefix(_MAPPED))
    elif device.startswith(_BY_UUID):
        found = str(session.handle.findfs_uuid(device.removeprefix(_BY_UUID)))
    elif device.startswith(_BY_LABEL):
        found = str(session.handle.findfs_label(_unescaped(device.removeprefix(_BY_LABEL))))
    elif match := _BY_PARTITION.fullmatch(device):
        found = _partition(session, session.handle.part_get_gpt_guid, match[1])
    elif match := _BY_PARTITION_NAME.fullmatch(device):
        found = _partition(session, session.handle.part_get_name, _unescaped(match[1]))
    elif match := _BY_LVM.fullmatch(device):
        found = _logical_volume(session, match[1], match[2])
    elif match := _ARRAY.fullmatch(device):
        found = _array(session, match[1])
    return found


def _unescaped(name: str) -> str:
    """Return a name as it was before udev put it into a link: a blank is ``\\x20`` there."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), name)


def _partition(session: Session, property_of: Callable[[str, int], object], wanted: str) -> str:
    """Return the only partition with a property, by the disk and the number of the partition.

    :raises RuntimeError: there is none, or more than one.
    """
    found = []
    for device in map(str, session.handle.list_partitions()):
        disk, number = str(session.handle.part_to_dev(device)), int(session.handle.part_to_partnum(device))
        if session.handle.part_get_parttype(disk) == "gpt" and str(property_of(disk, number)).lower() == wanted.lower():
            found.append(device)
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} partitions are called {wanted}")
    return found[0]


def _array(session: Session, name: str) -> str | None:
    """Return the RAID array with a name, which is ``HOST:NAME`` or only ``NAME`` in its metadata, or None."""
    arrays = [str(device) for device in session.handle.list_md_devices()]
    named = {device: str(session.handle.md_detail(device).get("name", "")).rpartition(":")[2] for device in arrays}
    found = [device for device, own in named.items() if own == name]
    return found[0] if len(found) == 1 else None


def _logical_volume(session: Session, group: str, volume: str) -> str | None:
    """Return the logical volume with an identity, in the group with an identity, both without hyphens; or None."""
    groups = [str(found["vg_name"]) for found in session.handle.vgs_full() if _plain(found["vg_uuid"]) == group]
    volumes = [str(found["lv_name"]) for found in session.handle.lvs_full() if _plain(found["lv_uuid"]) == volume]
    made = [f"/dev/{first}/{second}" for first in groups for second in volumes]
    return next((name for name in made if name in session.filesystems), None)


def _plain(identity: object) -> str:
    return str(identity).replace("-", "")
