# SPDX-License-Identifier: GPL-2.0-or-later
"""Mount the guest's file systems as the guest does, and unmount them again."""

from __future__ import annotations

import secrets

from v2v_convert_guestfs.appliance import brief, libguestfs_errors_as
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import fstab_devices
from v2v_convert_guestfs.session import Blockers, Session

#: Mount options that keep the kernel from replaying the journal of a file system that is mounted read-only.
_WITHOUT_JOURNAL = {"ext3": "ro,noload", "ext4": "ro,noload", "xfs": "ro,norecovery"}


def mount_guest(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Mount the guest's file systems, the shortest mount point first.

    :param untouched: mount them so that not a byte of them changes; otherwise they are writable.
    :param blockers: the blockers so far; they are reported as well if the root cannot be mounted.
    :raises ConversionError: the root cannot be mounted. Any other file system is a warning.
    """
    root = session.inspection.root
    try:
        _mount(session, root, "/", untouched=untouched)
    except RuntimeError as err:
        blockers.add(
            f"the root file system of the guest, {root}, cannot be mounted: {brief(err)}",
            "start the guest at its hypervisor, let it check its file systems, and shut it down",
        )
        blockers.stop()
    if session.inspection.os_type == "linux":
        fstab_devices.find_devices(session, GuestFiles(session))
    for place, device in session.inspection.mountpoints:
        if place == "/":
            continue
        try:
            _mount(session, device, place, untouched=untouched)
        except RuntimeError as err:
            session.warn(f"{device} cannot be mounted on {place} in the guest, it is left alone", err)


def _mount(session: Session, device: str, place: str, *, untouched: bool) -> None:
    options = _WITHOUT_JOURNAL.get(session.filesystems.get(device, ""), "ro") if untouched else ""
    session.handle.mount_options(options, device, place)


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
    with libguestfs_errors_as("the guest's file systems cannot be unmounted"):
        session.handle.umount_all()
