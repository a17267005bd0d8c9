# SPDX-License-Identifier: GPL-2.0-or-later
"""Check the guest before anything is changed, and its file systems after everything was."""

from __future__ import annotations

import shlex
from contextlib import suppress

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.disks import INACTIVE
from v2v_convert_guestfs.encryption import encrypted
from v2v_convert_guestfs.files import GuestFiles
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
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_convert_guestfs.mounts import check_writable, is_system_place
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, visible

_MIB = 1024 * 1024
#: Bytes that must be free: on the root file system for packages' scripts and logs, on /boot for a second initramfs of
#: the usual size, elsewhere for a few small files.
_ROOT_NEEDS, _BOOT_NEEDS, _OTHERS_NEED = 100 * _MIB, 50 * _MIB, 10 * _MIB
_INODES = 100
_BTRFS_SUPERBLOCK = 64 * 1024
#: Bytes: btrfs check of a file system with more data than this needs more memory than the appliance has.
_BTRFS_MOST = 64 * 1024 * _MIB
#: XFS: the first bits of features that an xfs_repair in use may be too old for (bigtime and inobtcount, Linux 5.10).
_OLDEST_BITS = {Set.COMPATIBLE: 0, Set.READ_ONLY: 3, Set.INCOMPATIBLE: 3}
_UNKNOWN_FEATURES = "unknown compat/rocompat/incompat features"
#: Where Linux writes "S1SUSPEND" in a swap area that holds a hibernated system: the end of its first page.
_SWAP_SIGNATURE_OFFSETS = (4086, 65526)
_HIBERNATED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")


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
            if kind == "xfs" and _counts_blocks_otherwise(session):
                # Red Hat's kernel corrects the count by itself.
                session.report.warning(
                    f"the file system on {device} (xfs) was changed by a newer kernel, which counts free blocks in "
                    f"another way than this guest's: {brief(err)}"
                )
                continue
            raise ConversionError(
                f"the file system on {device} ({kind}) is damaged after the conversion: {brief(err)}",
                hint="this should never happen, please report it with the log; the source has not been changed",
            ) from err


def _counts_blocks_otherwise(session: Session) -> bool:
    """Return whether the guest has the XFS of Linux 3.10, which counts free blocks otherwise than newer kernels."""
    found = session.inspection
    return family_of(found.distro) is Family.REDHAT and release_of(found) == 7


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
    if any(map(is_system_place, places)) or base_device(session.inspection.root) == device:
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


def find_hibernated(session: Session) -> list[str]:
    """List the swap areas that hold a hibernated system."""
    hibernated = []
    for device, kind in sorted(session.filesystems.items()):
        if kind in {"swsuspend", "linux_raid_member", "unknown"}:
            if kind == "swsuspend":
                hibernated.append(device)
            continue
        if kind != "swap":
            continue
        try:
            if any(
                bytes(session.handle.pread_device(device, 10, offset)) in _HIBERNATED
                for offset in _SWAP_SIGNATURE_OFFSETS
            ):
                hibernated.append(device)
        except RuntimeError as err:
            session.report.debug(f"{device}: {brief(err)}")
    return hibernated


def check_hibernation(session: Session, blockers: Blockers) -> bool:
    """Return whether the guest is hibernated. That is a blocker, and its file systems must not even be mounted."""
    hibernated = find_hibernated(session)
    for device in hibernated:
        blockers.add(
            f"the guest is hibernated: {device} holds the memory of a running system",
            "resume the guest at its hypervisor and shut it down",
        )
    return bool(hibernated)


def check_guest(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Collect blockers: no space, no inodes, a read-only file system, encrypted parts of the system.

    :param untouched: nothing may be written, not even to see whether that works.
    """
    refused = None if untouched else check_writable(session)
    if refused is not None:
        why = why_read_only(session)
        blockers.add(
            f"the root file system of the guest cannot be written: {refused if why is None else why[0]}",
            why[1] if why else "shut the guest down cleanly; look at the mount options and at the file system's flags",
        )
    _check_locked(session, blockers)
    _check_limits(session, blockers)
    _check_overlays(session)
    # Where nothing is mounted, statvfs would report the file system above, which is checked at its own place.
    mounted = {"/", *(str(place) for place in session.handle.mountpoints().values())}
    for place in (place for place, _ in session.inspection.mountpoints if place in mounted):
        try:
            found = session.handle.statvfs(place)
        except RuntimeError as err:
            session.report.debug(f"{place}: {brief(err)}")
            continue
        free, total = found["bfree"] * found["bsize"], found["blocks"] * found["bsize"]
        needed = space_needed(place, total)
        if free < needed:
            blockers.add(
                f"{place} in the guest has {free // _MIB} MB of free space and {needed // _MIB} MB are needed",
                f"free space on {place} in the guest",
            )
        if found["files"] and found["ffree"] < _INODES:
            blockers.add(
                f"{place} in the guest has {found['ffree']} free inodes and {_INODES} are needed",
                f"delete files on {place} in the guest",
            )


def _check_locked(session: Session, blockers: Blockers) -> None:
    """Check that encrypted devices without a key hold no part of the system; the user's data may stay encrypted."""
    locked = encrypted(session)
    if not locked:
        return
    listed, form = ", ".join(locked), " ".join(f"--key {device}:file:FILE" for device in locked)
    lacking = _lacking(session)
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
    for place, device in session.inspection.mountpoints:
        found = session.limits.get(base_device(device))
        told = found is None or any(found.reason in reason for reason, _ in blockers.reasons)
        # Some devices are only recognised once the guest's fstab can be read.
        if found is not None and not told and is_system_place(place):
            blockers.add(f"{place} of the guest cannot be used: {found.reason}", found.hint)
    known = {base_device(device) for _, device in session.inspection.mountpoints}
    strange = {device: limit for device, limit in session.limits.items() if device not in known}
    lacking = _lacking(session) if strange else []
    for limit in strange.values() if lacking else ():
        blockers.add(f"{', '.join(lacking)} of the guest may be on what cannot be used: {limit.reason}", limit.hint)


def _check_overlays(session: Session) -> None:
    """Warn of overlays in fstab on parts of the system: files in their upper layer hide those that are changed."""
    lines = (GuestFiles(session).read("/etc/fstab") or b"").decode("latin-1").split("\n")
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    for place in sorted({found[1] for found in fields if len(found) > 2 and found[2] == "overlay"}):
        if is_system_place(place):
            session.report.warning(
                f"the guest mounts an overlay on {visible(place)} (/etc/fstab): a file in its upper layer hides what "
                "the conversion writes below. The report lists the changed files: look for them in the upper layer"
            )


def _lacking(session: Session) -> list[str]:
    """Return the parts of the system that fstab mounts, and that are not mounted."""
    present = {"/", *(str(place) for place in session.handle.mountpoints().values())}
    claimed = {place for place, device in session.inspection.mountpoints if device in session.limits}
    wanted = fstab_places(GuestFiles(session).read("/etc/fstab") or b"") - present - claimed
    return sorted(place for place in wanted if is_system_place(place))


def fstab_places(data: bytes) -> set[str]:
    """Return the mount points of local devices in fstab(5)."""
    fields = [line.split() for line in data.decode("latin-1").split("\n") if not line.lstrip().startswith("#")]
    return {
        found[1].rstrip("/") or "/"
        for found in fields
        if len(found) >= 3 and found[1].startswith("/") and found[0].startswith(("/dev/", "UUID=", "LABEL=", "PART"))
    }


def space_needed(place: str, total: int) -> int:
    """Return how many bytes must be free on a file system of ``total`` bytes; a small one (an ESP) needs less."""
    needed = {"/": _ROOT_NEEDS, "/boot": _BOOT_NEEDS}.get(place, _OTHERS_NEED)
    return min(needed, total // 20) if place not in {"/", "/boot"} else needed
