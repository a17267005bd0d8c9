# SPDX-License-Identifier: GPL-2.0-or-later
"""Say why no operating system was found: what is on the disks, and what of it the appliance cannot look into."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.disks import INACTIVE, is_foreign, partition_table
from v2v_convert_guestfs.encryption import encrypted
from v2v_convert_guestfs.filesystems.inactive import why_inactive
from v2v_convert_guestfs.filesystems.limits import Limit, read_start, short, why_not_mounted
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.checks import bitlocker, without_system

#: How many sentences an error has about what was found.
_MOST = 6
#: Kinds without files, and those that libguestfs cannot name.
_NO_FILES = frozenset({"unknown", "swap", "swsuspend", INACTIVE})
_IMAGES = (
    (0, b"QFI\xfb", "qcow2"),
    (0, b"QED\0", "qed"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"conectix", "vpc"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
)
_PACKED = (
    (0, b"\x1f\x8b\x08", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"BZh", "bzip2"),
    (0, b"PK\x03\x04", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (257, b"ustar", "tar"),
)
_ANOTHER_DISK = "check that every disk of the guest was given, and that they are not installation media"
_ALL_DISKS = "give all disks of the guest, in the order of the source"


def nothing_found(session: Session) -> tuple[str, str]:
    """Return why no operating system was found, as far as the disks show it, and what to do about it."""
    limits = [
        *_encrypted(session),
        *_unreadable(session),
        *without_system.limits_without_a_system(session),
        *_foreign(session),
        *_whole_disks(session),
    ]
    found = "no operating system was found"
    if limits:
        more = f"; and {len(limits) - _MOST} more" if len(limits) > _MOST else ""
        hints = dict.fromkeys(limit.hint for limit in limits[:2])
        return f"{found}; " + "; ".join(limit.reason for limit in limits[:_MOST]) + more, "; ".join(hints)
    kinds = {device: kind for device, kind in session.filesystems.items() if kind not in {"unknown", INACTIVE}}
    if kinds:
        listed = ", ".join(f"{device} ({kind})" for device, kind in sorted(kinds.items()))
        return f"{found} on the guest's disks, only the file systems {listed}", _other_system(session) or _ANOTHER_DISK
    return (
        f"{found} on the guest's disks: they are blank, or of an unknown format",
        "check that the right disk was given, and its format (-if): a qcow2 file read as raw looks like this",
    )


def image_in(start: bytes) -> Limit | None:
    """Return what a disk is whose beginning is that of a file in another format; None if it is a disk."""
    for offset, magic, form in _IMAGES:
        if start[offset : offset + len(magic)] == magic:
            return Limit(f"{{}} is an image in the format {form} that was opened as raw", f"convert it with -if {form}")
    for offset, magic, form in _PACKED:
        if start[offset : offset + len(magic)] == magic:
            hint = (
                "if it is an appliance, convert it with -i ova" if form == "tar" else "unpack it and convert the image"
            )
            return Limit(f"{{}} is a file packed with {form}, and not a disk image", hint)
    return None


def _encrypted(session: Session) -> list[Limit]:
    locked = encrypted(session)
    windows = [device for device in locked if session.filesystems[device] == bitlocker.KIND]
    others = [device for device in locked if device not in windows]
    limits = [bitlocker.why_locked(session, device) for device in windows]
    if others:
        hint = f"give the key, for example --key {others[0]}:file:FILE"
        limits.insert(0, Limit(f"these devices are encrypted: {', '.join(others)}", hint))
    return limits


def _unreadable(session: Session) -> list[Limit]:
    """Return the file systems that cannot be mounted, and the volumes that cannot be activated."""
    handle, limits = session.handle, []
    for device, kind in sorted(session.filesystems.items()):
        if kind == INACTIVE:
            limits.append(why_inactive(session, device))
        if kind in _NO_FILES or device in encrypted(session) or is_foreign(kind):
            continue
        try:
            handle.mount_ro(device, "/")
        except RuntimeError as err:
            limit = why_not_mounted(handle, device, kind, "ro")
            limits.append(
                limit
                or Limit(
                    f"the file system on {device} ({kind}) cannot be mounted: {short(err)}",
                    "start the guest at its hypervisor, let it check and repair its file systems, and shut it down",
                )
            )
        with suppress(RuntimeError):
            handle.umount_all()
    return limits


def _foreign(session: Session) -> list[Limit]:
    """Return what is there, is whole, and is not for the appliance: pools, arrays, file systems of other systems."""
    handle, limits = session.handle, []
    for device in (*handle.list_devices(), *handle.list_partitions()):
        try:
            kind = str(handle.vfs_type(device))
        except RuntimeError as err:
            session.report.debug(f"{device}: {brief(err)}")
            continue
        what = is_foreign(kind)
        if what is not None:
            limits.append(Limit(f"{device} {what}", _hint_for(kind)))
        elif kind == "LVM2_member" and not any(name.count("/") == 3 for name in session.filesystems):
            limits.append(
                Limit(
                    f"{device} is a physical volume of LVM, and the appliance finds no logical volume on it", _ALL_DISKS
                )
            )
        elif kind == "linux_raid_member" and not any(name.startswith("/dev/md") for name in session.filesystems):
            limits.append(
                Limit(f"{device} is a part of a software RAID, which does not start with the given disks", _ALL_DISKS)
            )
    return limits


def _whole_disks(session: Session) -> list[Limit]:
    """Return what is strange about disks without a partition or file system that is known."""
    handle, limits = session.handle, []
    partitions = [str(partition) for partition in handle.list_partitions()]
    for number, disk in enumerate(handle.list_devices(), 1):
        if any(partition.startswith(disk) for partition in partitions):
            continue
        start = read_start(handle, disk)
        image = image_in(start)
        if image is not None:
            limits.append(Limit(image.reason.format(f"disk {number}"), image.hint))
            continue
        try:
            size = int(handle.blockdev_getsize64(disk))
            end = bytes(handle.pread_device(disk, 4096, size - 4096)) if size >= 4096 else b""
        except RuntimeError as err:
            session.report.debug(f"{disk}: {brief(err)}")
            end = b""
        table = partition_table(start, end)
        if table is not None:
            limits.append(Limit(f"disk {number} {table[0]}", table[1]))
    return limits


def _other_system(session: Session) -> str | None:
    """Return what to say of a file system with another kind of system, if there is one."""
    handle = session.handle
    for device, kind in sorted(session.filesystems.items()):
        if kind in _NO_FILES:
            continue
        try:
            handle.mount_ro(device, "/")
            for place, system in _MARKS:
                if handle.exists(place):
                    return f"{device} looks like {system}: this converter does not know such systems"
        except RuntimeError as err:
            session.report.debug(f"{device}: {brief(err)}")
        finally:
            with suppress(RuntimeError):
                handle.umount_all()
    return None


_MARKS: Sequence[tuple[str, str]] = (
    ("/ostree/deploy", "a system that is deployed with OSTree (Silverblue, CoreOS, bootc)"),
    ("/nix/store", "NixOS"),
    ("/bsd", "OpenBSD"),
    ("/boot/kernel/kernel", "FreeBSD"),
    ("/vmware/lib", "VMware ESXi"),
)


def _hint_for(kind: str) -> str:
    if kind == "zfs_member":
        return (
            "systems on ZFS cannot be converted: at the source, copy the system to a disk with ext4 or XFS, and keep "
            "the pool on other disks, which are copied as they are"
        )
    return "guests that boot from it cannot be converted"
