# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the devices in the guest's fstab that libguestfs's inspection does not find.

libguestfs's names for opened encrypted devices differ from those in crypttab. Its older versions do not understand
links by UUID, nor the links by the identity of a logical volume that Ubuntu's installer writes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import (
    DeviceNames,
    buses_known,
    is_link,
    links_in,
    split_link,
    suggested_disks,
)
from v2v_convert_guestfs.encryption import Key
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.boot_arguments import boot_mentions
from v2v_convert_guestfs.linux.device_links import device_of
from v2v_convert_guestfs.linux.disks_in_fstab import (
    ANY,
    FileSystems,
    Mention,
    corrections,
    device_on,
    find_disks,
    mentions,
)
from v2v_convert_guestfs.linux.hardware_links import disks_of_link
from v2v_convert_guestfs.linux.mount_evidence import place_of
from v2v_convert_guestfs.session import Session
from v2v_core.api import drive_number, visible

#: What fstab(5) has for file systems that are mounted nowhere, and the root, which is known.
_NO_PLACES = frozenset({"/", "none", "swap"})
_NOT_MOUNTED = frozenset({"swap", "unknown", "crypto_LUKS"})
#: The files in which links to disks are replaced.
_WITH_LINKS = (
    *("/etc/fstab", "/etc/crypttab", "/etc/mdadm.conf", "/etc/mdadm/mdadm.conf"),
    *("/etc/systemd/system/*.mount", "/etc/systemd/system/*.swap", "/etc/systemd/system/*.automount"),
    *("/etc/default/grub", "/etc/default/grub.d/*.cfg", "/etc/sysconfig/bootloader", "/etc/kernel/cmdline"),
    *("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg", "/boot/grub/menu.lst", "/boot/grub/grub.conf"),
    *("/boot/efi/EFI/*/grub.cfg", "/boot/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf"),
    *("/boot/grub/device.map", "/boot/grub2/device.map", "/etc/initramfs-tools/conf.d/*", "/etc/grub.d/4*_custom"),
)
#: Bytes of such a file, and links in all of them.
_LIMIT, _MOST_LINKS = 4 * 1024 * 1024, 200
_BY_UUID = "/dev/disk/by-uuid/"
_BY_PARTITION = re.compile(r"(?:PARTUUID=|/dev/disk/by-partuuid/)\"?([0-9A-Fa-f-]{36})\"?")


def find_devices(session: Session, files: GuestFiles) -> None:
    """Replace such names in the list of mount points by libguestfs's. The guest's / must be mounted."""
    opened = _opened_by_name(session, files)
    named = _lines_with_names(session, files)
    own = {mention.place: mention for mention in named if mention.place not in _NO_PLACES}
    _set_mountpoints(
        session,
        [
            (place, device if place in own else device_of(session, device, opened))
            for place, device in session.inspection.mountpoints
        ],
    )
    disks = _disks_of(session, files, named) if named else {}
    places = []
    for place, device in session.inspection.mountpoints:
        index = disks[own[place].disk] if place in own else None
        if index is not None:
            places.append((place, device_on(index, own[place].number)))
        elif place not in own:
            places.append((place, device))
    # libguestfs leaves out what it does not understand.
    listed = {place for place, _ in session.inspection.mountpoints}
    for place, mention in own.items():
        index = disks[mention.disk]
        device = device_on(index, mention.number) if index is not None else ""
        if (
            place.startswith("/")
            and place not in listed
            and session.filesystems.get(device, "swap") not in _NOT_MOUNTED
        ):
            places.append((place, device))
    listed |= {place for place, _ in places}
    places += [found for found in _found_by_stable_names(session, files, opened) if found[0] not in listed]
    _set_mountpoints(session, sorted(places, key=lambda item: (len(item[0]), item[0])))
    _warn_of_untold(session, named, corrections(disks, suggested_disks(session.request.guest.disks)))


def known_disks(session: Session, files: GuestFiles) -> dict[str, int | None]:
    """Return what the file systems prove about names of disks in fstab, where it differs from the buses of the source.

    These are the index of a disk by its name, or None if the name cannot be told. The guest must be mounted.
    """
    disks = _disks_of(session, files, _lines_with_names(session, files), mounted=True)
    return corrections(disks, suggested_disks(session.request.guest.disks))


def uuids_of_links(session: Session, files: GuestFiles, names: DeviceNames) -> dict[str, str]:
    """Return the UUIDs of the file systems, swap and encrypted devices that links in the guest's files mean.

    These links are made from the disks' hardware and will not exist on KVM.

    :param names: with the links that are known. The result has the new names of the devices.
    """
    uuids: dict[str, str] = {}
    if not any(is_link(disk) for disk in names.disks):
        return uuids
    everywhere = Counter(uuid for device in session.filesystems if (uuid := _uuid(session, device)))
    for disk, number in dict.fromkeys(filter(None, map(split_link, _all_links(files)))):
        index = appliance_index(names.disks.get(disk, ""))
        device = device_on(index, number) if index is not None else ""
        kind = session.filesystems.get(device, "unknown")
        uuid = _uuid(session, device) if kind != "unknown" else None
        # Disks that are copies of one another have the same UUID. So have all devices of one btrfs.
        if uuid and (everywhere[uuid] == 1 or kind == "btrfs"):
            uuids[f"/dev/{names.disks[disk]}{number}"] = uuid
    return uuids


def _uuid(session: Session, device: str) -> str | None:
    try:
        return str(session.handle.vfs_uuid(device)) or None
    except RuntimeError as err:
        session.report.debug(f"{device} has no UUID: {brief(err)}")
        return None


def appliance_index(new: str) -> int | None:
    """Return the index of the disk with a new name (``vdb``), from 0, or None if it has none.

    The appliance has the guest's disks in the same order.
    """
    match = re.fullmatch(r"[a-z]d([a-z]{1,6})", new, re.ASCII)
    return drive_number(match[1]) if match else None


def crypttab_sources(data: bytes) -> dict[str, str]:
    """Return the device of each name in crypttab(5)."""
    lines = [line.split() for line in data.decode("latin-1").split("\n") if not line.lstrip().startswith("#")]
    return {fields[0]: fields[1] for fields in lines if len(fields) > 1}


def _lines_with_names(session: Session, files: GuestFiles) -> list[Mention]:
    """Return the lines of fstab that name a disk by the kernel's name or by a link that is made from its hardware."""
    return mentions(files.read("/etc/fstab") or b"") if session.request.guest.disks else []


def _found_by_stable_names(session: Session, files: GuestFiles, opened: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the mount points in fstab whose devices have names that libguestfs may leave out, with the devices."""
    found = {}
    for line in (files.read("/etc/fstab") or b"").decode("latin-1").split("\n"):
        fields = line.split()
        if len(fields) < 4 or fields[0].startswith("#") or "noauto" in fields[3].split(","):
            continue
        name, place = fields[:2]
        if not place.startswith("/") or place == "/" or not name.startswith(("/dev/", "PARTLABEL=", "PARTUUID=")):
            continue
        device = device_of(session, name, opened)
        if device != name and session.filesystems.get(device, "swap") not in _NOT_MOUNTED:
            found[place] = device
    return list(found.items())


def _disks_of(
    session: Session, files: GuestFiles, named: Sequence[Mention], *, mounted: bool = False
) -> dict[str, int | None]:
    """Return the index of the disk that each name means, or None if it cannot be told.

    :param named: the lines of fstab. Other files of the guest are evidence, too.
    :param mounted: whether the guest is mounted as fstab says. If so, the mount points are evidence.
    """
    disks = session.request.guest.disks
    if not disks:
        return {}
    own = {mention.place for mention in named}
    claimed = frozenset(device for place, device in session.inspection.mountpoints if place not in own and place != "/")
    everything = [*named, *_named_elsewhere(files, named)]
    kinds, members = session.filesystems, frozenset[str]()
    if any(mention.kind == ANY for mention in everything):
        members = frozenset(str(partition) for partition in session.handle.list_partitions()) - kinds.keys()
    present = FileSystems(len(disks), kinds, session.inspection.root, claimed, members)
    if mounted:
        # A file system that is mounted in the appliance may have recorded that.
        places = {device: place for place, device in session.inspection.mountpoints}
        present = replace(present, last_mounted=places)
    elif len(disks) > 1:
        present = replace(present, last_mounted=_last_mounted(session, everything))
    allowed = {mention.disk: disks_of_link(mention.disk, disks) for mention in everything if is_link(mention.disk)}
    return find_disks(everything, suggested_disks(disks), present, trusted=buses_known(disks), allowed=allowed)


def _named_elsewhere(files: GuestFiles, named: Sequence[Mention]) -> list[Mention]:
    """Return what crypttab, kernel command lines and other configuration say about disks by their names."""
    found: list[Mention | None] = list(boot_mentions(files))
    for source in crypttab_sources(files.read("/etc/crypttab") or b"").values():
        found.append(Mention.of(source, "none", ANY))
    told = {mention.disk for mention in (*named, *found) if mention}
    links = [Mention.of(link, "none", ANY) for link in _all_links(files)]
    found += [link for link in links if link and link.disk not in told]
    return list(dict.fromkeys(mention for mention in found if mention is not None))


def _all_links(files: GuestFiles) -> list[str]:
    """Return the links that are made from hardware in all files whose disks are renamed."""
    paths = dict.fromkeys(path for pattern in _WITH_LINKS for path in files.glob(pattern))
    texts = ((files.read(path, limit=_LIMIT) or b"").decode("latin-1") for path in paths)
    return list(dict.fromkeys(link for text in texts for link in links_in(text)))[:_MOST_LINKS]


def _last_mounted(session: Session, named: Sequence[Mention]) -> dict[str, str]:
    """Return where file systems belong that fit the same line of fstab as another one, as far as they show it."""
    found: dict[str, str] = {}
    places = frozenset(mention.place for mention in named if mention.place.startswith("/") and mention.place != "/")
    for number in dict.fromkeys(mention.number for mention in named if mention.place in places):
        devices = [device_on(index, number) for index in range(len(session.request.guest.disks))]
        there = [device for device in devices if session.filesystems.get(device, "swap") not in _NOT_MOUNTED]
        for device in there if len(there) > 1 else ():
            place = place_of(session, device, places) if device != session.inspection.root else None
            if place is not None:
                found[device] = place
    return found


def _set_mountpoints(session: Session, places: Sequence[tuple[str, str]]) -> None:
    session.found = replace(session.inspection, mountpoints=tuple(places))


def _warn_of_untold(session: Session, named: Sequence[Mention], corrected: Mapping[str, int | None]) -> None:
    for mention in named:
        if corrected.get(mention.disk, 0) is None and not is_link(mention.disk):
            session.report.warning(
                f"/etc/fstab in the guest, line {mention.number_of_line} ({visible(mention.line)}): it cannot be told "
                f"which of the disks {mention.device} is, so the line stays as it is and may fail on KVM: write UUID= "
                "instead"
            )


def _opened_by_name(session: Session, files: GuestFiles) -> Mapping[str, str]:
    """Return the devices that were opened with a key, by their names in crypttab."""
    if not session.opened:
        return {}
    disks = session.request.guest.disks
    told = _disks_of(session, files, _lines_with_names(session, files))
    names = DeviceNames.of(disks, "sd", known=corrections(told, suggested_disks(disks)))
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
    if (new := names.rename(source)) is not None:
        return new == device
    return source != "all" and Key(source, "").fits(device, uuid, names)
