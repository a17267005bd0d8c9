# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks before anything is changed, and of the file systems after everything was."""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.mounts import check_writable
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_MIB = 1024 * 1024
#: Bytes that must be free: on the root file system, for packages' scripts and logs; on /boot, for a second initramfs of
#: usual size; elsewhere, for what is left in a hurry.
_ROOT_NEEDS, _BOOT_NEEDS, _OTHERS_NEED = 100 * _MIB, 50 * _MIB, 10 * _MIB
_INODES = 100
#: Where Linux writes "S1SUSPEND" in a swap area that holds a hibernated system: the end of its first page.
_SWAP_SIGNATURE_OFFSETS = (4086, 65526)
_HIBERNATED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")


def check_filesystems(session: Session, *, after: bool) -> None:
    """Check the file systems that can be checked; nothing is repaired.

    A journal that was not played back when the guest stopped is played back first, which is what mounting does.

    :raises ConversionError: one is damaged.
    """
    for device, kind in sorted(session.filesystems.items()):
        try:
            _check(session, device, kind, replay=not after)
        except RuntimeError as err:
            if after:
                message = f"the file system on {device} ({kind}) is damaged after the conversion: {brief(err)}"
                hint = "this should never happen, please report it with the log; the source has not been changed"
            else:
                message = f"the file system on {device} ({kind}) is damaged: {brief(err)}"
                hint = "start the guest at its hypervisor, let it check and repair its file systems, and shut it down"
            raise ConversionError(message, hint=hint) from err


def _check(session: Session, device: str, kind: str, *, replay: bool) -> None:
    handle = session.handle
    if kind not in {"ext4", "ext3", "ext2", "xfs"}:
        return
    if replay:
        handle.mount_ro(device, "/")
        handle.umount_all()
    if kind == "xfs":
        if handle.xfs_repair(device, nomodify=True, noprefetch=True) != 0:
            raise RuntimeError("xfs_repair found errors, the log has the details")
    else:
        # Neither correct nor forceall with repairs: -n is what libguestfs gives e2fsck without them.
        handle.e2fsck(device, forceall=True)


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
    """Tell whether the guest is hibernated, which stands in the way: its file systems must not even be mounted then."""
    hibernated = find_hibernated(session)
    for device in hibernated:
        blockers.add(
            f"the guest is hibernated: {device} holds the memory of a running system",
            "resume the guest at its hypervisor and shut it down",
        )
    return bool(hibernated)


def check_guest(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Collect what stands in the way: no space, no inodes, a read-only file system.

    :param untouched: nothing may be written, not even to see if that works.
    """
    refused = None if untouched else check_writable(session)
    if refused is not None:
        blockers.add(
            f"the root file system of the guest cannot be written: {refused}",
            "shut the guest down cleanly; look at the mount options and at the file system's flags",
        )
    places = [place for place, _ in session.inspection.mountpoints]
    for place in places:
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


def space_needed(place: str, total: int) -> int:
    """Give the bytes that must be free on a file system of so many; a small one (an ESP) can do with less."""
    needed = {"/": _ROOT_NEEDS, "/boot": _BOOT_NEEDS}.get(place, _OTHERS_NEED)
    return min(needed, total // 20) if place not in {"/", "/boot"} else needed
