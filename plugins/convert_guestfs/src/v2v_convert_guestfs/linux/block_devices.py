# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in the guest's configuration, and warn about names that could not be renamed."""

from __future__ import annotations

import re
from collections.abc import Callable

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import left_names, unit_names
from v2v_convert_guestfs.linux.editors import devices_in, lvm_filters, systemd_units
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_convert_guestfs.session import Session
from v2v_core.api import Bus, Inspection, drive_letters

#: The configuration in which disks are renamed. The tools that make initramfs images copy most of these files.
PLACES: tuple[tuple[str, Callable[[bytes, DeviceNames], bytes]], ...] = (
    ("/etc/fstab", devices_in.fstab),
    ("/etc/crypttab", devices_in.crypttab),
    ("/etc/lvm/lvm.conf", devices_in.lvm_filters),
    ("/etc/lvm/lvmlocal.conf", devices_in.lvm_filters),
    ("/etc/mdadm/mdadm.conf", devices_in.mdadm),
    ("/etc/mdadm.conf", devices_in.mdadm),
    ("/etc/initramfs-tools/initramfs.conf", devices_in.resume),
    ("/etc/initramfs-tools/conf.d/*", devices_in.resume),
    ("/etc/uswsusp.conf", devices_in.resume_device),
    ("/etc/systemd/system/*.mount", systemd_units.unit),
)
#: The same for files that no tool copies into an initramfs.
PLACES_ON_DISK: tuple[tuple[str, Callable[[bytes, DeviceNames], bytes]], ...] = (
    ("/etc/systemd/system/*.swap", systemd_units.unit),
    ("/etc/systemd/system/*.automount", systemd_units.unit),
    ("/etc/systemd/system/*.service", systemd_units.unit),
    ("/etc/systemd/system/*.d/*.conf", systemd_units.unit),
    ("/etc/dracut.conf", devices_in.dracut),
    ("/etc/dracut.conf.d/*.conf", devices_in.dracut),
)
#: Caches with the names of the old disks. The programs that use them create them again.
_CACHES = ("/etc/blkid/blkid.tab", "/etc/blkid.tab", "/etc/lvm/cache/.cache")
#: The disks that LVM may use, by serial numbers that change on KVM. Without this file LVM uses all disks. Editing it
#: would be riskier than removing it: one wrong entry keeps the guest from booting, an additional volume group does not.
_LVM_DEVICES = "/etc/lvm/devices/system.devices"
#: The last major versions whose kernels name IDE disks hda. Later kernels use libata, which names them sda.
_LAST_WITH_HD = {Family.REDHAT: 5, Family.SUSE: 10, Family.DEBIAN: 5, Family.ALT: 4}
#: The most devices in a warning.
_WARNINGS = 10
#: What may be a logical volume: /dev/GROUP/NAME or /dev/mapper/GROUP-NAME. Asking LVM takes time.
_LOGICAL_VOLUME = re.compile(r"/dev/[^/]+/.")


def rename_devices(session: Session, files: GuestFiles, names: DeviceNames) -> None:
    """Rename disks everywhere except in the boot loader's files, and remove caches of their old names.

    :raises ConversionError: a file cannot be written.
    """
    uuids = luks_uuids(session, names)
    for pattern, editor in (*PLACES, *PLACES_ON_DISK):
        for path in files.glob(pattern):
            edit = _bound(editor, names)
            if editor is devices_in.lvm_filters:
                _warn_of_filters(session, files, path, names)
            if editor is devices_in.crypttab:
                edit = _with_uuids(names, uuids)
            files.edit(path, edit, what="disks are called by their new names", why="disks have other names with virtio")
            left_names.warn_of_left(session, path, files.read(path) or b"", names)
    unit_names.rename_units(session, files, names)
    left_names.warn_of_looked_at(session, files, names)
    for path in _CACHES:
        files.remove(path, what="removed", why="it remembers disks by their old names")
    if files.remove(_LVM_DEVICES, what="removed", why="it lists disks by their old names and serial numbers"):
        session.report.info(
            f"LVM in the guest uses all disks: {_LVM_DEVICES} was removed; vgimportdevices -a in the guest creates it"
        )


def prefix_of(bus: Bus, inspection: Inspection) -> str:
    """Return the prefix of disk names on KVM: vd, sd, or hd for IDE disks with a kernel before libata."""
    if bus is Bus.VIRTIO_BLK:
        return "vd"
    family = family_of(inspection.distro)
    old = family is not None and 0 < release_of(inspection) <= _LAST_WITH_HD.get(family, 0)
    return "hd" if bus is Bus.IDE and old else "sd"


def renamed_drives(session: Session) -> dict[str, str]:
    """Return the new name of the CD-ROM drive by its old name, if the guest named it like an IDE disk.

    The new name, cdrom, is a link that udev creates.
    """
    inspection = session.inspection
    drives = [drive for drive in session.request.guest.removables if drive.kind == "cdrom"]
    if not drives or family_of(inspection.distro) is not Family.REDHAT:
        return {}
    if not 0 < release_of(inspection) <= _LAST_WITH_HD[Family.REDHAT]:
        return {}
    if len(drives) > 1:
        session.report.warning("the guest has more than one CD-ROM drive: check their names in /etc/fstab by hand")
    first = drives[0]
    return {f"hd{drive_letters(first.slot)}": "cdrom"} if first.bus is Bus.IDE and first.slot is not None else {}


def physical_volumes(session: Session, names: DeviceNames) -> tuple[str, ...]:
    """Return the new names of the physical volumes of the volume groups that the guest mounts file systems from.

    Those on RAID or encrypted devices are left out: their names stay as they are.
    """
    handle, volumes = session.handle, []
    try:
        groups = {
            str(handle.lvm_canonical_lv_name(device)).split("/")[2]
            for _, device in session.inspection.mountpoints
            if _LOGICAL_VOLUME.match(device) and handle.is_lv(device)
        }
        wanted = {str(uuid).replace("-", "") for group in groups for uuid in handle.vgpvuuids(group)}
        for device in handle.pvs() if wanted else ():
            new = renamed_from_appliance(str(device), names)
            if new is not None and str(handle.pvuuid(device)).replace("-", "") in wanted:
                volumes.append(new)
    except (RuntimeError, IndexError) as err:
        session.warn("filters of LVM in the guest are not compared with its physical volumes", err)
    return tuple(volumes)


def renamed_from_appliance(device: str, names: DeviceNames) -> str | None:
    """Return the new name of a disk or partition by the name that it has in the appliance, or None if it is neither.

    The appliance has the guest's disks in the same order, from /dev/sda.
    """
    match = re.fullmatch(r"/dev/sd([a-z]+)(\d*)", device, re.ASCII)
    new = [name for name in names.disks.values() if match and re.fullmatch(rf"[a-z]d{match[1]}", name)]
    return f"/dev/{new[0]}{match[2]}" if match and new else None


def file_system_uuid(session: Session, device: str) -> str | None:
    """Return the UUID of the file system on a disk or partition of the guest, or None if there is none.

    :param device: its new name.
    """
    in_appliance = re.sub(r"^/dev/[a-z]d(?=[a-z]+\d*$)", "/dev/sd", device)
    try:
        return str(session.handle.vfs_uuid(in_appliance)) or None
    except RuntimeError as err:
        session.report.debug(f"{in_appliance} has no UUID: {brief(err)}")
        return None


def luks_uuids(session: Session, names: DeviceNames) -> dict[str, str]:
    """Return the UUIDs of LUKS devices on disks and plain partitions, by the new names of the devices."""
    uuids: dict[str, str] = {}
    for device, kind in session.filesystems.items():
        new = renamed_from_appliance(device, names)
        if kind != "crypto_LUKS" or new is None:
            continue
        try:
            uuid = str(session.handle.vfs_uuid(device))
        except RuntimeError as err:
            session.warn(f"/etc/crypttab in the guest still names {device} instead of its UUID", err)
            continue
        if uuid:
            uuids[new] = uuid
    return uuids


def _bound(editor: Callable[[bytes, DeviceNames], bytes], names: DeviceNames) -> Callable[[bytes], bytes]:
    return lambda data: editor(data, names)


def _with_uuids(names: DeviceNames, uuids: dict[str, str]) -> Callable[[bytes], bytes]:
    return lambda data: devices_in.crypttab(data, names, uuids)


def _warn_of_filters(session: Session, files: GuestFiles, path: str, names: DeviceNames) -> None:
    """Warn about filters that would reject the physical volumes of the guest, however they are translated."""
    for one in lvm_filters.filters(files.read(path) or b"", names):
        if one.in_front:
            session.report.warning(
                f"the filter {' '.join(one.old.split())} in {path} in the guest does not accept "
                f"{', '.join(one.in_front[:_WARNINGS])}, which the disks of LVM are called on KVM: a pattern that "
                "accepts them was put in front; check the filter by hand"
            )
