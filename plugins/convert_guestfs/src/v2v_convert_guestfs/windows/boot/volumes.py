# SPDX-License-Identifier: GPL-2.0-or-later
"""Look into a partition that the guest's Windows has not mounted: the system partition of a BIOS or of UEFI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.windows.guest import WindowsGuest

#: Directories of every Windows whose files the conversion does not need, below that of Windows.
_PLACES = ("System32/config/systemprofile", "System32/drivers/etc", "System32/spool", "Temp", "Fonts")


@contextmanager
def opened(guest: WindowsGuest, device: str, *, writable: bool = False) -> Iterator[str | None]:
    """Mount a partition for the block and yield the directory that it is at; "" for one that the guest has mounted.

    None if it cannot be mounted. One that is opened again in the block is not mounted again. It is mounted over a
    directory of Windows, and hides it: so nothing is written to the guest to look into it. In the block, only the
    partition is of use.
    """
    handle = guest.session.handle
    place = _mounted(guest, device)
    if place is not None:
        yield place
        return
    place = _free_place(guest)
    if place is None:
        guest.session.report.debug(f"{device} cannot be mounted: Windows has none of {', '.join(_PLACES)}")
        yield None
        return
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


def _free_place(guest: WindowsGuest) -> str | None:
    """Return a directory of Windows that nothing else is mounted on."""
    taken = set(map(str, guest.session.handle.mountpoints().values()))
    found = (guest.files.find(f"{guest.system.systemroot}/{place}") for place in _PLACES)
    return next((place for place in found if place is not None and place not in taken), None)


def _mounted(guest: WindowsGuest, device: str) -> str | None:
    """Return where a device is mounted, as the beginning of the paths on it; None if it is not mounted."""
    places = {str(device): str(place) for device, place in guest.session.handle.mountpoints().items()}
    place = places.get(guest.session.opened.get(device, device))
    return place.rstrip("/") if place is not None else None
