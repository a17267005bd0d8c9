# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the devices in the guest's fstab that libguestfs's inspection does not find.

libguestfs's names for opened encrypted devices differ from those in crypttab. Its older versions do not understand
links by UUID, nor the links by the identity of a logical volume that Ubuntu's installer writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames, buses_known, suggested_disks
from v2v_convert_guestfs.encryption import Key
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.disks_in_fstab import FileSystems, Mention, corrections, device_on, find_disks, mentions
from v2v_convert_guestfs.session import Session
from v2v_core.api import visible

_MAPPED = "/dev/mapper/"
_BY_UUID = "/dev/disk/by-uuid/"
_BY_LVM = re.compile(r"/dev/disk/by-id/dm-uuid-LVM-([0-9A-Za-z]{32})([0-9A-Za-z]{32})")
_BY_PARTITION = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)\"?([0-9A-Fa-f-]{36})\"?")


def find_devices(session: Session, files: GuestFiles) -> None:
    """Replace such names in the list of mount points by libguestfs's. The guest's / must be mounted."""
    opened = _opened_by_name(session, files)
    named = _lines_with_names(session, files)
    own = {mention.place: mention for mention in named if mention.place != "/"}
    _set_mountpoints(
        session,
        [
            (place, device if place in own else _device(session, device, opened))
            for place, device in session.inspection.mountpoints
        ],
    )
    disks = _disks_of(session, named)
    places = []
    for place, device in session.inspection.mountpoints:
        index = disks[own[place].disk] if place in own else None
        if index is not None:
            places.append((place, device_on(index, own[place].number)))
        elif place not in own:
            places.append((place, device))
    _set_mountpoints(session, places)
    _warn_of_untold(session, named, corrections(disks, suggested_disks(session.request.guest.disks)))


def known_disks(session: Session, files: GuestFiles) -> dict[str, int | None]:
    """Return what the file systems prove about names of disks in fstab, where it differs from the buses of the source.

    These are the index of a disk by its name, or None if the name cannot be told. The guest must be mounted.
    """
    disks = _disks_of(session, _lines_with_names(session, files))
    return corrections(disks, suggested_disks(session.request.guest.disks))


def crypttab_sources(data: bytes) -> dict[str, str]:
    """Return the device of each name in crypttab(5)."""
    lines = [line.split() for line in data.decode("latin-1").split("\n") if not line.lstrip().startswith("#")]
    return {fields[0]: fields[1] for fields in lines if len(fields) > 1}


def _lines_with_names(session: Session, files: GuestFiles) -> list[Mention]:
    """Return the lines of fstab that name a disk by the kernel's name."""
    return mentions(files.read("/etc/fstab") or b"") if session.request.guest.disks else []


def _disks_of(session: Session, named: Sequence[Mention]) -> dict[str, int | None]:
    """Return the index of the disk that each name means, or None if it cannot be told."""
    disks = session.request.guest.disks
    own = {mention.place for mention in named}
    claimed = frozenset(device for place, device in session.inspection.mountpoints if place not in own and place != "/")
    present = FileSystems(len(disks), session.filesystems, session.inspection.root, claimed)
    return find_disks(named, suggested_disks(disks), present, trusted=buses_known(disks))


def _set_mountpoints(session: Session, places: Sequence[tuple[str, str]]) -> None:
    session.found = replace(session.inspection, mountpoints=tuple(places))


def _warn_of_untold(session: Session, named: Sequence[Mention], corrected: Mapping[str, int | None]) -> None:
    for mention in named:
        if corrected.get(mention.disk, 0) is None:
            session.report.warning(
                f"/etc/fstab in the guest, line {mention.number_of_line} ({visible(mention.line)}): it cannot be told "
                f"which of the disks {mention.device} is, so the line stays as it is and may fail on KVM: write UUID= "
                "instead"
            )


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
