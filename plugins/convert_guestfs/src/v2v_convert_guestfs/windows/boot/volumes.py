# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a partition that the guest's Windows has not mounted: the system partition of a BIOS or of UEFI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.windows.guest import WindowsGuest


@contextmanager
def opened(guest: WindowsGuest, device: str, *, writable: bool = False) -> Iterator[str | None]:
    """Mount a partition for the block and yield the directory that it is at; "" for one that the guest has mounted.

    None if it cannot be mounted. It is mounted over a directory of Windows that always exists, and hides it: so nothing
    is written to the guest to look into it. In the block, only the partition is of use.
    """
    handle = guest.session.handle
    place = _mounted(guest, device)
    if place is not None:
        yield place
        return
    place = guest.files.find(f"{guest.system.systemroot}/System32/config/systemprofile") or guest.system.systemroot
    try:
        (handle.mount if writable else handle.mount_ro)(device, place)
    except RuntimeError as err:
        guest.session.report.debug(f"{device} cannot be mounted: {brief(err)}")
        yield None
        return
    try:
        yield place
    finally:
        try:
            handle.umount(place)
        except RuntimeError as err:
            # A failure to write its data shows when everything is unmounted.
            guest.session.report.debug(f"{device} cannot be unmounted yet: {brief(err)}")


def _mounted(guest: WindowsGuest, device: str) -> str | None:
    """Return where a device is mounted, as the beginning of the paths on it; None if it is not mounted."""
    places = {str(device): str(place) for device, place in guest.session.handle.mountpoints().items()}
    place = places.get(guest.session.opened.get(device, device))
    return place.rstrip("/") if place is not None else None
