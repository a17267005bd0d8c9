# SPDX-License-Identifier: GPL-2.0-or-later
"""Take the addresses from the adapters that are gone, and add the script that gives them to the new ones."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_convert_guestfs.windows.firstboot.plan import NETWORK
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.network import nsi, script
from v2v_convert_guestfs.windows.network.adapters import CONNECTIONS, KERNEL, Adapter
from v2v_convert_guestfs.windows.network.examine import codepage
from v2v_convert_guestfs.windows.network.plan import NetworkPlan
from v2v_convert_guestfs.windows.network.settings import (
    INTERFACE,
    INTERFACE_COPY,
    PERSISTENT_ROUTES,
    Route,
    route_of,
)
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import dword, sz

_ADDRESSES = ("IPAddress", "SubnetMask", "DefaultGateway", "DefaultGatewayMetric")
#: Added to the name of a connection whose name another one gets.
_MARK = " (before virt-v2v)"
_WHY = "its addresses go to the NIC that replaces it on KVM"


def change(guest: WindowsGuest, plan: NetworkPlan) -> None:
    """Stage the edits of the registry, and add the script for the first boot."""
    guest.session.nic_macs = plan.macs
    if not plan.replays:
        return
    named = {one.name for one in plan.replays}
    for control_set in guest.system.control_sets:
        for adapter in plan.cleared:
            _clear(guest, control_set, adapter)
            if adapter.name in named:
                _rename(guest, control_set, adapter)
        if guest.system.at_least(6):
            _remove_routes(guest, control_set, {_key(route) for one in plan.replays for route in one.settings.routes})
    for record in plan.replayed:
        guest.session.report.info(f"The NIC {record.mac} gets the address {record.address} at first boot")
    guest.first_boot.add_file(script.NAMES, script.names_file(plan.replays, codepage(guest)))
    listed = ", ".join(str(record.address) for record in plan.replayed)
    guest.first_boot.add(
        NETWORK,
        "network",
        script.batch(plan.replays, guest.system),
        why=f"gives the NICs their static settings again{f': {listed}' if listed else ''}",
    )


def _clear(guest: WindowsGuest, control_set: str, adapter: Adapter) -> None:
    """Remove the addresses and routes of an adapter that no longer exists."""
    for pattern in (INTERFACE, INTERFACE_COPY):
        path = rf"{control_set}\{pattern.replace('{guid}', adapter.guid)}"
        key = guest.registry.key(HiveName.SYSTEM, path)
        if key is None or all(key.value(name) is None for name in _ADDRESSES):
            continue
        guest.registry.set(HiveName.SYSTEM, path, "EnableDHCP", dword(1), why=_WHY)
        for name in _ADDRESSES:
            guest.registry.delete_value(HiveName.SYSTEM, path, name, why=_WHY)
    if adapter.luid is None:
        return
    for path, name in _rows(guest, control_set, adapter.luid):
        guest.registry.delete_value(HiveName.SYSTEM, path, name, why=_WHY)


def _rows(guest: WindowsGuest, control_set: str, luid: str) -> Iterator[tuple[str, str]]:
    """Yield the key and the name of each address and route that Windows has set for good for an interface."""
    for family in (4, 6):
        for table, read in ((nsi.ADDRESSES, _interface_of_address), (nsi.ROUTES, _interface_of_route)):
            path = rf"{control_set}\{table[family]}"
            key = guest.registry.key(HiveName.SYSTEM, path)
            for name in key.values() if key is not None else ():
                if read(family, name) == luid:
                    yield path, name


def _interface_of_address(family: int, name: str) -> str | None:
    found = nsi.address(family, name, dword(0))
    return found[0] if found is not None else None


def _interface_of_route(family: int, name: str) -> str | None:
    found = nsi.route(family, name, dword(0))
    return found.luid if found is not None else None


def _remove_routes(guest: WindowsGuest, control_set: str, replayed: set[tuple[object, object]]) -> None:
    """Remove persistent routes that the first boot sets again: with another metric there would be two of each."""
    path = rf"{control_set}\{PERSISTENT_ROUTES}"
    key = guest.registry.key(HiveName.SYSTEM, path)
    for name in key.values() if key is not None else ():
        if (route := route_of(name)) is not None and _key(route) in replayed:
            why = "the first boot sets this route for the NIC that replaces the old one"
            guest.registry.delete_value(HiveName.SYSTEM, path, name, why=why)


def _key(route: Route) -> tuple[object, object]:
    return route.network, route.gateway


def _rename(guest: WindowsGuest, control_set: str, adapter: Adapter) -> None:
    """Give another name to a connection that no longer exists: the one that replaces it gets the name."""
    why = f"the NIC that replaces it on KVM gets the name {adapter.name!r}"
    for path, name in (
        (rf"{CONNECTIONS}\{adapter.guid}\Connection", "Name"),
        (KERNEL.replace("{guid}", adapter.guid), "IfAlias"),
    ):
        key = guest.registry.key(HiveName.SYSTEM, rf"{control_set}\{path}")
        if key is not None and key.value(name) is not None:
            guest.registry.set(HiveName.SYSTEM, rf"{control_set}\{path}", name, sz(adapter.name + _MARK), why=why)
