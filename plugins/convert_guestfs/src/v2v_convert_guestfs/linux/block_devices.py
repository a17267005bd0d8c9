# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in the guest's configuration, and say which names could not be renamed."""

from __future__ import annotations

import re
from collections.abc import Callable

from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.editors import devices_in
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_convert_guestfs.session import Session
from v2v_core.api import Bus, Inspection, drive_letters

_PLACES: tuple[tuple[str, Callable[[bytes, DeviceNames], bytes]], ...] = (
    ("/etc/fstab", devices_in.fstab),
    ("/etc/crypttab", devices_in.crypttab),
    ("/etc/lvm/lvm.conf", devices_in.lvm_filters),
    ("/etc/mdadm/mdadm.conf", devices_in.mdadm),
    ("/etc/mdadm.conf", devices_in.mdadm),
    ("/etc/initramfs-tools/initramfs.conf", devices_in.resume),
    ("/etc/initramfs-tools/conf.d/*", devices_in.resume),
    ("/etc/uswsusp.conf", devices_in.resume_device),
    ("/etc/systemd/system/*.mount", devices_in.mount_unit),
)
#: Files that may name disks in ways that only their owner understands.
_LOOKED_AT = ("/etc/smartd.conf", "/etc/hdparm.conf")
#: What remembers the disks that were there; what needs it makes it anew.
_CACHES = ("/etc/blkid/blkid.tab", "/etc/blkid.tab", "/etc/lvm/cache/.cache")
#: The disks that LVM may use, by serial numbers that they do not have on KVM. Without it LVM uses all of them. It could
#: be edited; but one wrong name in it keeps the guest from booting, and a volume group too many does not.
_LVM_DEVICES = "/etc/lvm/devices/system.devices"
#: The last major versions whose kernels call IDE disks hda; later ones have libata, which calls them sda.
_LAST_WITH_HD = {Family.REDHAT: 5, Family.SUSE: 10, Family.DEBIAN: 5, Family.ALT: 4}
#: How many devices of one file are warned of.
_WARNINGS = 10
_LINKS = re.compile(r"/dev/disk/by-(?:id|path)/[^\s\"',:]+", re.ASCII)


def rename_devices(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Rename disks everywhere but in the boot loader's files, and remove caches of their old names.

    :raises ConversionError: a file cannot be written.
    """
    uuids = luks_uuids(session, names)
    for pattern, editor in _PLACES:
        for path in files.glob(pattern):
            edit = _bound(editor, names)
            if editor is devices_in.crypttab:
                edit = _with_uuids(names, uuids)
            files.edit(path, edit, what="disks are called by their new names", why="disks have other names with virtio")
            _warn_of_the_rest(session, files, path, names)
    for path in _LOOKED_AT:
        text = _without_comments(files.read(path) if files.glob(path) else None)
        stale = names.stale_in(text)
        if stale:
            listed = ", ".join(sorted(set(stale))[:_WARNINGS])
            session.report.warning(f"{path} in the guest names {listed}: look at it by hand")
    for path in _CACHES:
        files.remove(path, what="removed", why="it remembers disks by their old names")
    if files.remove(_LVM_DEVICES, what="removed", why="it lists disks by their old names and serial numbers"):
        session.report.info(
            f"LVM in the guest uses all disks: {_LVM_DEVICES} is gone, which vgimportdevices -a in the guest makes anew"
        )


def prefix_of(bus: Bus, inspection: Inspection) -> str:
    """Give the beginning of the names that disks have on KVM: vd, sd, or hd where IDE has a driver of its own."""
    if bus is Bus.VIRTIO_BLK:
        return "vd"
    family = family_of(inspection.distro)
    old = family is not None and 0 < release_of(inspection) <= _LAST_WITH_HD.get(family, 0)
    return "hd" if bus is Bus.IDE and old else "sd"


def renamed_drives(session: Session) -> dict[str, str]:
    """Give the new name of the CD-ROM drive where it had one of an IDE disk; it is a link that udev makes."""
    found = session.inspection
    drives = [drive for drive in session.request.guest.removables if drive.kind == "cdrom"]
    if not drives or family_of(found.distro) is not Family.REDHAT:
        return {}
    if not 0 < release_of(found) <= _LAST_WITH_HD[Family.REDHAT]:
        return {}
    if len(drives) > 1:
        session.report.warning("the guest has more than one CD-ROM drive: look at their names in /etc/fstab by hand")
    first = drives[0]
    return {f"hd{drive_letters(first.slot)}": "cdrom"} if first.bus is Bus.IDE and first.slot is not None else {}


def luks_uuids(session: Session, names: DeviceNames) -> dict[str, str]:
    """Give the UUIDs of LUKS devices on plain partitions by their new names."""
    found: dict[str, str] = {}
    for device, kind in session.filesystems.items():
        match = re.fullmatch(r"/dev/sd([a-z]+)(\d*)", device, re.ASCII)
        if kind != "crypto_LUKS" or not match:
            continue
        # The disks of the appliance are in the guest's order.
        new = [name for name in names.disks.values() if re.fullmatch(rf"[a-z]d{match[1]}", name)]
        try:
            uuid = str(session.handle.vfs_uuid(device))
        except RuntimeError as err:
            session.not_done(f"/etc/crypttab in the guest names {device} by its name and not by its UUID", err)
            continue
        if new and uuid:
            found[f"/dev/{new[0]}{match[2]}"] = uuid
    return found


def edited(files: GuestFiles) -> list[str]:
    """List the files that disks may be renamed in."""
    return [path for pattern, _ in _PLACES for path in files.glob(pattern)]


def _bound(editor: Callable[[bytes, DeviceNames], bytes], names: DeviceNames) -> Callable[[bytes], bytes]:
    return lambda data: editor(data, names)


def _with_uuids(names: DeviceNames, uuids: dict[str, str]) -> Callable[[bytes], bytes]:
    return lambda data: devices_in.crypttab(data, names, uuids)


def _warn_of_the_rest(session: Session, files: GuestFiles, path: str, names: DeviceNames) -> None:
    text = _without_comments(files.read(path))
    links = sorted(set(_LINKS.findall(text)))
    for link in links[:_WARNINGS]:
        session.report.warning(f"{path} in the guest names {link}, which may not exist on KVM: use UUID= in its place")
    new = tuple(f"/dev/{disk}" for disk in names.disks.values())
    unknown = sorted(name for name in set(names.unknown_in(text)) if not name.startswith(new))
    for name in unknown[:_WARNINGS]:
        session.report.warning(f"{path} in the guest names {name}, which is none of the guest's disks")
    left = len(links[_WARNINGS:]) + len(unknown[_WARNINGS:])
    if left:
        session.report.warning(f"{path} in the guest names {left} more devices that may not exist on KVM")


def _without_comments(data: bytes | None) -> str:
    lines = (data or b"").decode("latin-1").split("\n")
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
