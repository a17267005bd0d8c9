# SPDX-License-Identifier: GPL-2.0-or-later
"""Services and drivers of the old hypervisor: they do not start any more."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import dword
from v2v_convert_guestfs.windows.tools_removal.products import HYPERV_SERVICES, PRODUCTS

_AUTOMATIC, _MANUAL, _DISABLED = 2, 3, 4
_PARALLELS_STORAGE = "prl_strg"


@dataclass(frozen=True)
class Service:
    """A service whose start changes. :param key: its path in the hive. :param start: the new one."""

    key: str
    start: int
    title: str


def look(guest: WindowsGuest, needed: frozenset[str]) -> tuple[Service, ...]:
    """Return the services of tools that start, in every control set that can start.

    :param needed: drivers that must not be disabled because devices have them as filters, in lower case.
    """
    found = []
    for control_set in guest.system.control_sets:
        services = guest.registry.key(HiveName.SYSTEM, f"{control_set}\\Services")
        if services is None:
            continue
        for product in PRODUCTS:
            for name in (*product.services, *product.drivers):
                key = services.key(name)
                start = key.value("Start") if key is not None else None
                # Without this value, it is a driver that was only prepared, and no service yet.
                if key is None or start is None or start.number == _DISABLED or name.lower() in needed:
                    continue
                found.append(Service(key.path, _DISABLED, product.title))
        for name in HYPERV_SERVICES:
            key = services.key(name)
            start = key.value("Start") if key is not None else None
            if key is not None and start is not None and start.number == _AUTOMATIC:
                found.append(Service(key.path, _MANUAL, "Hyper-V"))
    return tuple(found)


def change(guest: WindowsGuest, services: tuple[Service, ...]) -> None:
    """Keep the services from starting."""
    for service in services:
        why = f"it belongs to {service.title} and is of no use on KVM"
        guest.registry.set(HiveName.SYSTEM, service.key, "Start", dword(service.start), why=why)
        if service.key.lower().endswith(f"\\{_PARALLELS_STORAGE}"):
            why = "the uninstaller of Parallels Tools leaves the driver in place while it is counted"
            guest.registry.delete_value(HiveName.SYSTEM, f"{service.key}\\DriverInfo", "RefCount", why=why)
