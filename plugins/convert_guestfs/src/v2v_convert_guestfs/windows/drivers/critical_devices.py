# SPDX-License-Identifier: GPL-2.0-or-later
r"""``Control\CriticalDeviceDatabase``: the drivers of devices that Windows up to 7 needs before Plug and Play runs."""

from __future__ import annotations

from collections.abc import Iterable

from v2v_convert_guestfs.windows.drivers.plan import SCSI_CLASS, Edits
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.values import sz

_WHY = "Windows finds the driver of the disk that it boots from"


def add(guest: WindowsGuest, service: str, ids: Iterable[str], edits: Edits, guid: str = SCSI_CLASS) -> None:
    r"""Assign devices to a driver in every control set that can start.

    :param ids: ``PCI\VEN_…``, or ids that have no bus.
    """
    for control_set in guest.system.control_sets:
        for name in ids:
            key = rf"{control_set}\Control\CriticalDeviceDatabase\{name.replace(chr(92), '#')}"
            edits.set(key, "Service", sz(service), why=_WHY)
            edits.set(key, "ClassGUID", sz(guid), why=_WHY)
