# SPDX-License-Identifier: GPL-2.0-or-later
"""Mount the guest as it mounts itself, and unmount it again."""

from __future__ import annotations

import secrets

from v2v_convert_guestfs.appliance import brief, explained
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError


def mount_guest(session: Session) -> None:
    """Mount the guest's file systems, writable, the shortest mount point first.

    :raises ConversionError: its root cannot be mounted; for any other that is a warning.
    """
    for place, device in session.inspection.mountpoints:
        try:
            session.handle.mount_options("", device, place)
        except RuntimeError as err:
            if place == "/":
                raise ConversionError(
                    f"the root file system of the guest, {device}, cannot be mounted: {brief(err)}",
                    hint="start the guest at its hypervisor, let it check its file systems, shut it down and try again",
                ) from err
            session.try_to(f"{device} cannot be mounted on {place} in the guest, it is left alone", err)


def check_writable(session: Session) -> str | None:
    """Try to write to the root file system; give the reason if that fails."""
    path = f"/v2v-{secrets.token_hex(8)}"
    try:
        session.handle.touch(path)
        session.handle.rm_f(path)
    except RuntimeError as err:
        return brief(err)
    return None


def unmount_guest(session: Session) -> None:
    """Unmount everything.

    :raises ConversionError: something still uses it, or the data cannot be written.
    """
    with explained("the guest's file systems cannot be unmounted"):
        session.handle.umount_all()
