# SPDX-License-Identifier: GPL-2.0-or-later
"""Trim the file systems, so that free space is not copied.

They are trimmed twice. The first time is before anything is converted: a copy beside the conversion then knows
the free space, and does not send what a thick disk holds there. The second time frees what the conversion has replaced.
"""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.filesystems.limits import base_device
from v2v_convert_guestfs.session import Blockers, Session

_NOT_TRIMMED = frozenset({"unknown", "swap", "crypto_LUKS", "BitLocker", "LVM2_member", "linux_raid_member"})


def trim_before(session: Session, blockers: Blockers, *, untouched: bool) -> None:
    """Trim the file systems before they are converted, and say that this is done.

    A guest that is converted in place is not written before all reasons against its conversion are known, and one with
    such a reason not at all.

    :param untouched: a file system must not be written.
    """
    if untouched or blockers.reasons or session.request.in_place:
        return
    if session.request.settings.trim:
        trim(session)
    session.report.trimmed()


def trim(session: Session) -> None:
    """Mount each file system alone and trim it. One that cannot be trimmed is copied whole."""
    handle = session.handle
    # all subvolumes of a btrfs share its free space, so that one of them is enough
    alone = {
        base_device(device): device
        for device, kind in sorted(session.filesystems.items(), reverse=True)
        if kind not in _NOT_TRIMMED and base_device(device) not in session.limits
    }
    candidates = sorted(alone.values())
    for number, device in enumerate(candidates, 1):
        try:
            handle.mount_options("discard", device, "/")
        except RuntimeError as err:
            session.report.debug(f"{device} is not trimmed: {brief(err)}")
            continue
        try:
            handle.fstrim("/")
        except RuntimeError as err:
            session.report.debug(f"{device} is not trimmed, all of it is copied: {brief(err)}")
        finally:
            handle.umount_all()
        session.report.progress(number, len(candidates))
