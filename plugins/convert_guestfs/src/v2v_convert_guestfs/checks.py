# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the guest before anything is changed, and its file systems after everything was."""

from __future__ import annotations

import shlex
from contextlib import suppress

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.disks import INACTIVE
from v2v_convert_guestfs.encryption import encrypted
from v2v_convert_guestfs.filesystems.features import Set, features_of
from v2v_convert_guestfs.filesystems.inactive import why_inactive
from v2v_convert_guestfs.filesystems.limits import (
    Limit,
    base_device,
    read_start,
    short,
    why_not_checked,
    why_not_mounted,
)
from v2v_convert_guestfs.filesystems.read_only import why_read_only
from v2v_convert_guestfs.mounts import check_writable
from v2v_convert_guestfs.operating_system import MIB, operating_system_of
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_INODES = 100
_BTRFS_SUPERBLOCK = 64 * 1024
#: Bytes: btrfs check of a file system with more data than this needs more memory than the appliance has.
_BTRFS_MOST = 64 * 1024 * MIB
#: XFS: the first bits of features that an xfs_repair in use may be too old for (bigtime and inobtcount, Linux 5.10).
_OLDEST_BITS = {Set.COMPATIBLE: 0, Set.READ_ONLY: 3, Set.INCOMPATIBLE: 3}
_UNKNOWN_FEATURES = "unknown compat/rocompat/incompat features"


def check_filesystems(session: Session, blockers: Blockers) -> bool:
    """Check the file systems before anything is changed; return whether one is damaged. That is a blocker.

    Nothing is repaired. A journal that still has entries is replayed first, by mounting the file system. One that the
    appliance cannot use or cannot check is not damaged: it is a blocker only if the system is on it.
    """
    damaged = False
    for device, kind in sorted(session.filesystems.items()):
        try:
            if kind == INACTIVE:
                _add_limit(session, blockers, device, why_inactive(session, device))
            elif _is_checked(device, kind):
                _replay(session, blockers, device, kind)
                if device not in session.limits:
                    _check(session, device, kind)
        except RuntimeError as err:
            damaged = True
            blockers.add(
                f"the file system on {device} ({kind}) is damaged: {brief(err)}",
                "start the guest at its hypervisor, let it check and repair its file systems, and shut it down",
            )
            with suppress(RuntimeError):
                session.handle.umount_all()
    return damaged


def check_filesystems_after(session: Session) -> None:
    """Check the file systems after all changes.

    :raises ConversionError: one is damaged.
    """
    for device, kind in sorted(session.filesystems.items()):
        try:
            if _is_checked(device, kind) and device not in session.limits and device not in session.unchecked:
                _check(session, device, kind)
        except RuntimeError as err:
            excuse = operating_system_of(session).excuses_damage(kind)
            if excuse is not None:
                session.report.warning(f"the file system on {device} ({kind}) {excuse}: {brief(err)}")
                continue
            raise ConversionError(
                f"the file system on {device} ({kind}) is damaged after the conversion: {brief(err)}",
                hint="this should never happen, please report it with the log; the source has not been changed",
            ) from err


def _is_checked(device: str, kind: str) -> bool:
    return kind in {"ext4", "ext3", "ext2", "xfs", "btrfs"} and not device.startswith("btrfsvol:")


def _replay(session: Session, blockers: Blockers, device: str, kind: str) -> None:
    """Mount a file system, so that the kernel replays its journal.

    :raises RuntimeError: the file system is damaged.
    """
    handle = session.handle
    try:
        handle.mount_ro(device, "/")
    except RuntimeError as err:
        limit = why_not_mounted(handle, device, kind, "ro")
        if limit is None:
            raise RuntimeError(short(err)) from err
        _add_limit(session, blockers, device, limit)
        return
    handle.umount_all()


def _add_limit(session: Session, blockers: Blockers, device: str, limit: Limit) -> None:
    """Record that the appliance cannot use a file system: a blocker if it has a part of the system, else a warning."""
    session.limits[device] = limit
    places = [place for place, found in session.inspection.mountpoints if base_device(found) == device]
    if any(map(operating_system_of(session).is_needed, places)) or base_device(session.inspection.root) == device:
        blockers.add(f"{', '.join(places) or device} of the guest cannot be used: {limit.reason}", limit.hint)
        return
    where = f" ({', '.join(places)} of the guest)" if places else ""
    session.report.warning(f"{limit.reason}. The conversion does not need it{where}: it is copied as it is")


def _check(session: Session, device: str, kind: str) -> None:
    """Check a file system, if the appliance's programs know its features.

    :raises RuntimeError: it is damaged.
    """
    handle = session.handle
    try:
        if kind == "xfs":
            if handle.xfs_repair(device, nomodify=True, noprefetch=True) != 0:
                raise RuntimeError(_said_by_xfs_repair(handle, device))
        elif kind == "btrfs":
            # Only its trees. A scrub would read all data; the copy does that anyway and finds every wrong checksum. The
            # check keeps the trees in memory, and they may be larger than the appliance's.
            used = _btrfs_bytes_used(bytes(handle.pread_device(device, 4096, _BTRFS_SUPERBLOCK)))
            if used is None or used > _BTRFS_MOST:
                session.report.debug(f"{device} is not checked: it is too large for btrfs check")
            else:
                handle.btrfs_fsck(device)
        else:
            _check_ext(handle, device)
    except RuntimeError as err:
        why = why_not_checked(kind, str(err), read_start(handle, device))
        if why is None:
            raise
        session.unchecked.add(device)
        session.report.warning(
            f"the file system on {device} ({kind}) is not checked: {why}. The appliance's kernel knows it"
        )


def _said_by_xfs_repair(handle: Handle, device: str) -> str:
    """Return what is wrong with a file system in the words of xfs_repair, which libguestfs only logs."""
    found = "xfs_repair found errors, the log has the details"
    late = features_of("xfs", read_start(handle, device))
    if not any(mask >> _OLDEST_BITS[which] for which, mask in late.items()):
        return found
    said = (str(handle.debug("sh", [f"xfs_repair -nP {name} 2>&1 | head -c 3000"])) for name in _names(handle, device))
    return next((text for text in said if _UNKNOWN_FEATURES in text), found)


def _check_ext(handle: Handle, device: str) -> None:
    """Run e2fsck without any change to the file system.

    :raises RuntimeError: the file system is damaged.
    """
    try:
        handle.e2fsck(device, forceno=True)
    except TypeError:
        # This version of libguestfs always makes e2fsck repair: "correct" is -p, "forceall" is -y, and without a
        # terminal e2fsck demands one of the two. So its own command line is used, with the name in /proc/mounts,
        # which the appliance's kernel has for the device.
        for name in _names(handle, device):
            handle.debug("sh", [f"e2fsck -fn {name} 1>&2"])


def _names(handle: Handle, device: str) -> list[str]:
    """Return the names that the appliance's kernel has for a device, quoted for its shell.

    :raises RuntimeError: it is damaged, or the appliance does not say it.
    """
    handle.mount_ro(device, "/")
    try:
        mounts = [line.split() for line in str(handle.debug("sh", ["cat /proc/mounts"])).splitlines()]
    finally:
        handle.umount_all()
    sources = [shlex.quote(fields[0]) for fields in mounts if fields[1:2] == ["/sysroot"]]
    if not sources:
        raise RuntimeError("the appliance does not say what it has mounted")
    return sources


def _btrfs_bytes_used(superblock: bytes) -> int | None:
    if superblock[64:72] != b"_BHRfS_M":
        return None
    return int.from_bytes(superblock[120:128], "little")


def check_guest(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Collect blockers: no space, no inodes, a read-only file system, encrypted parts of the system.

    :param untouched: nothing may be written, not even to see whether that works.
    """
    system = operating_system_of(session)
    refused = None if untouched else check_writable(session)
    if refused is not None:
        why = why_read_only(session)
        blockers.add(
            f"the root file system of the guest cannot be written: {refused if why is None else why[0]}",
            why[1] if why else system.how_to_make_writable(),
        )
    _check_locked(session, blockers)
    _check_limits(session, blockers)
    system.check_mounted()
    # Where nothing is mounted, statvfs would report the file system above, which is checked at its own place.
    mounted = {"/", *(str(place) for place in session.handle.mountpoints().values())}
    for place in (place for place, _ in session.inspection.mountpoints if place in mounted):
        try:
            found = session.handle.statvfs(place)
        except RuntimeError as err:
            session.report.debug(f"{place}: {brief(err)}")
            continue
        free, total = found["bfree"] * found["bsize"], found["blocks"] * found["bsize"]
        needed = system.space_needed(place, total)
        if free < needed:
            blockers.add(
                f"{place} in the guest has {free // MIB} MB of free space and {needed // MIB} MB are needed",
                f"free space on {place} in the guest",
            )
        if found["files"] and found["ffree"] < _INODES:
            blockers.add(
                f"{place} in the guest has {found['ffree']} free inodes and {_INODES} are needed",
                f"delete files on {place} in the guest",
            )


def _check_locked(session: Session, blockers: Blockers) -> None:
    """Check that encrypted devices without a key hold no part of the system; the user's data may stay encrypted."""
    system = operating_system_of(session)
    locked = [device for device in encrypted(session) if not system.tells_of_encrypted(session.filesystems[device])]
    if not locked:
        return
    listed, form = ", ".join(locked), " ".join(f"--key {device}:file:FILE" for device in locked)
    lacking = system.missing_places()
    if lacking:
        blockers.add(
            f"{', '.join(lacking)} of the guest may be on what is encrypted and has no key: {listed}",
            f"give the key, for example {form}",
        )
    else:
        session.report.warning(
            f"encrypted and without a key: {listed}. What is inside stays as it is; to have it looked at, give {form}"
        )


def _check_limits(session: Session, blockers: Blockers) -> None:
    """Check that what the appliance cannot use holds no part of the system by a name that was not recognised."""
    system = operating_system_of(session)
    for place, device in session.inspection.mountpoints:
        found = session.limits.get(base_device(device))
        told = found is None or any(found.reason in reason for reason, _ in blockers.reasons)
        # Some devices are only recognised once the guest's fstab can be read.
        if found is not None and not told and system.is_needed(place):
            blockers.add(f"{place} of the guest cannot be used: {found.reason}", found.hint)
    known = {base_device(device) for _, device in session.inspection.mountpoints}
    strange = {device: limit for device, limit in session.limits.items() if device not in known}
    lacking = system.missing_places() if strange else []
    for limit in strange.values() if lacking else ():
        blockers.add(f"{', '.join(lacking)} of the guest may be on what cannot be used: {limit.reason}", limit.hint)
