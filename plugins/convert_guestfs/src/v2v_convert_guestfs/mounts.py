# SPDX-License-Identifier: GPL-2.0-or-later
"""Mount the guest's file systems as the guest does, and unmount them again."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief, libguestfs_errors_as
from v2v_convert_guestfs.filesystems.limits import Limit, base_device, short, why_not_mounted
from v2v_convert_guestfs.filesystems.read_only import make_read_only, make_writable
from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_convert_guestfs.session import Blockers, Session

#: Mount options that keep the kernel from replaying the journal of a file system that is mounted read-only.
_WITHOUT_JOURNAL = {"ext3": "ro,noload", "ext4": "ro,noload", "xfs": "ro,norecovery"}
#: NTFS-3G gives new files no access rights at all without this option, so that every user of the guest may write them.
#: With it, a mode of 0755 lets only administrators and the system write.
_TO_WRITE = {"ntfs": "permissions"}


def mount_guest(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Mount the guest's file systems, the shortest mount point first.

    :param untouched: mount them so that not a byte of them changes; otherwise they are writable.
    :param blockers: the blockers so far; they are reported as well if the root cannot be mounted.
    :raises ConversionError: the root cannot be mounted. Any other file system is a warning.
    """
    root, system = session.inspection.root, operating_system_of(session)
    try:
        _mount(session, root, "/", untouched=untouched)
    except RuntimeError as err:
        limit = _limit(session, root, untouched=untouched)
        if limit is not None:
            blockers.add(f"the root file system of the guest cannot be used: {limit.reason}", limit.hint)
        elif not blockers.name(root):
            blockers.add(
                f"the root file system of the guest, {root}, cannot be mounted: {short(err)}",
                system.how_to_repair(),
            )
        blockers.stop()
    if not untouched:
        make_writable(session)
    system.find_mountpoints()
    mounted, failed = [("/", root)], list[tuple[str, str, RuntimeError]]()
    for place, device in session.inspection.mountpoints:
        if place == "/" or base_device(device) in session.limits:
            continue
        try:
            _mount(session, device, place, untouched=untouched)
        except RuntimeError as err:
            failed.append((place, device, err))
        else:
            mounted.append((place, device))
    if failed:
        _tell(session, blockers, failed, mounted, untouched=untouched)


def _tell(
    session: Session,
    blockers: Blockers,
    failed: Sequence[tuple[str, str, RuntimeError]],
    mounted: Sequence[tuple[str, str]],
    *,
    untouched: bool,
) -> None:
    """Say why file systems could not be mounted.

    To find out, those that are there are mounted alone. Everything is as before afterwards.
    """
    alone = any(base_device(device) in session.filesystems for _, device, _ in failed)
    if alone:
        session.handle.umount_all()
    for place, device, err in failed:
        limit = _limit(session, device, untouched=untouched) if alone else None
        if limit is None:
            session.warn(
                f"{device} cannot be mounted on {place} in the guest, it is left alone", RuntimeError(short(err))
            )
            continue
        session.limits[device] = limit
        if operating_system_of(session).is_needed(place):
            blockers.add(f"{place} of the guest cannot be used: {limit.reason}", limit.hint)
        else:
            session.report.warning(f"{place} of the guest is copied as it is: {limit.reason}")
    if alone:
        with libguestfs_errors_as("the guest's file systems cannot be mounted again"):
            for place, device in mounted:
                _mount(session, device, place, untouched=untouched)


def _limit(session: Session, device: str, *, untouched: bool) -> Limit | None:
    """Return the limit of the appliance because of which a file system cannot be mounted. Nothing must be mounted."""
    kind = session.filesystems.get(base_device(device))
    if kind is None:
        return None
    return why_not_mounted(session.handle, device, kind, _options(session, device, untouched=untouched))


def _mount(session: Session, device: str, place: str, *, untouched: bool) -> None:
    session.handle.mount_options(_options(session, device, untouched=untouched), device, place)


def _options(session: Session, device: str, *, untouched: bool) -> str:
    kind = session.filesystems.get(device, "")
    return _WITHOUT_JOURNAL.get(kind, "ro") if untouched else _TO_WRITE.get(kind, "")


def check_writable(session: Session) -> str | None:
    """Try to write to the root file system; return the reason if that fails."""
    path = f"/v2v-{secrets.token_hex(8)}"
    try:
        session.handle.touch(path)
        session.handle.rm_f(path)
    except RuntimeError as err:
        return brief(err)
    return None


def unmount_guest(session: Session) -> None:
    """Unmount all file systems.

    :raises ConversionError: one is still in use, or its data cannot be written.
    """
    make_read_only(session)
    with libguestfs_errors_as("the guest's file systems cannot be unmounted"):
        session.handle.umount_all()
