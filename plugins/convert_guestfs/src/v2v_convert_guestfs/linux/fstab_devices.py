# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the devices in the guest's fstab that libguestfs's inspection does not find.

libguestfs's names for opened encrypted devices differ from those in crypttab. Its older versions do not understand
links by UUID, nor the links by the identity of a logical volume that Ubuntu's installer writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.encryption import Key
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

_MAPPED = "/dev/mapper/"
_BY_UUID = "/dev/disk/by-uuid/"
_BY_LVM = re.compile(r"/dev/disk/by-id/dm-uuid-LVM-([0-9A-Za-z]{32})([0-9A-Za-z]{32})")
_BY_PARTITION = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)\"?([0-9A-Fa-f-]{36})\"?")


def find_devices(session: Session, files: GuestFiles) -> None:
    """Replace such names in the list of mount points by libguestfs's. The guest's / must be mounted."""
    opened = _opened_by_name(session, files)
    found = session.inspection
    places = tuple((place, _device(session, device, opened)) for place, device in found.mountpoints)
    if places != found.mountpoints:
        session.found = replace(found, mountpoints=places)


def crypttab_sources(data: bytes) -> dict[str, str]:
    """Return the device of each name in crypttab(5)."""
    lines = [line.split() for line in data.decode("latin-1").split("\n") if not line.lstrip().startswith("#")]
    return {fields[0]: fields[1] for fields in lines if len(fields) > 1}


def _opened_by_name(session: Session, files: GuestFiles) -> Mapping[str, str]:
    """Return the devices that were opened with a key, by their names in crypttab."""
    if not session.opened:
        return {}
    names = DeviceNames.of(session.request.guest.disks, "sd")
    found = {}
    for name, source in crypttab_sources(files.read("/etc/crypttab") or b"").items():
        for device, inside in session.opened.items():
            if _is(session, device, source, names):
                found[name] = inside
    return found


def _is(session: Session, device: str, source: str, names: DeviceNames) -> bool:
    """Return whether the second field of a line in crypttab, ``source``, means a device that was opened."""
    try:
        if match := _BY_PARTITION.fullmatch(source):
            disk, number = session.handle.part_to_dev(device), session.handle.part_to_partnum(device)
            return str(session.handle.part_get_gpt_guid(disk, number)).lower() == match[1].lower()
        uuid = str(session.handle.vfs_uuid(device))
    except RuntimeError as err:
        session.report.debug(f"{device} is not {source}: {brief(err)}")
        return False
    if source.startswith(_BY_UUID):
        source = f"UUID={source.removeprefix(_BY_UUID)}"
    return source != "all" and Key(source, "").fits(device, uuid, names)


def _device(session: Session, device: str, opened: Mapping[str, str]) -> str:
    if device in session.filesystems:
        return device
    try:
        if device.startswith(_MAPPED):
            return opened.get(device.removeprefix(_MAPPED), device)
        if device.startswith(_BY_UUID):
            return str(session.handle.findfs_uuid(device.removeprefix(_BY_UUID)))
        if match := _BY_LVM.fullmatch(device):
            return _logical_volume(session, match[1], match[2]) or device
    except RuntimeError as err:
        session.report.debug(f"{device} is not found: {brief(err)}")
    return device


def _logical_volume(session: Session, group: str, volume: str) -> str | None:
    """Return the logical volume with an identity, in the group with an identity, both without hyphens; or None."""
    groups = [str(found["vg_name"]) for found in session.handle.vgs_full() if _plain(found["vg_uuid"]) == group]
    volumes = [str(found["lv_name"]) for found in session.handle.lvs_full() if _plain(found["lv_uuid"]) == volume]
    made = [f"/dev/{first}/{second}" for first in groups for second in volumes]
    return next((name for name in made if name in session.filesystems), None)


def _plain(identity: object) -> str:
    return str(identity).replace("-", "")
