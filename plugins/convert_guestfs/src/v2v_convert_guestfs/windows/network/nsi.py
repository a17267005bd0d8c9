# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables in which Windows Vista and later keep addresses and routes that were set for good (``Control\\Nsi``).

A table is a key, a row is a binary value: its name is the row's key in hexadecimal digits, its data are the settings.
The layouts are those that Wine's nsiproxy found; the two real hives of the tests agree with them.
"""

from __future__ import annotations

import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.wanted_addresses import Address, Interface
from v2v_convert_guestfs.windows.registry.values import Value

#: Keys below a control set: the unicast addresses and the routes of both families, and the interfaces.
ADDRESSES = {
    4: r"Control\Nsi\{eb004a00-9b1a-11d4-9123-0050047759bc}\10",
    6: r"Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\10",
}
ROUTES = {
    4: r"Control\Nsi\{eb004a00-9b1a-11d4-9123-0050047759bc}\16",
    6: r"Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\16",
}
INTERFACES = r"Control\Nsi\{eb004a11-9b1a-11d4-9123-0050047759bc}\10"

_UNSET = 0xFFFFFFFF
#: Of an address, and of a route: where the network prefix, its length, the interface and the next hop are.
_ADDRESS_AT, _LENGTH_AT = 8, 16
_METRIC_AT = 8
_ROUTE_LAYOUT = {4: (4, 8, 24, 40), 6: (4, 20, 40, 56)}
_BYTES = {4: 4, 6: 16}
#: The length and the 32 bytes of a hardware address.
_HARDWARE_ADDRESS = re.compile(rb"\x06\x00(.{6})\x00{26}", re.DOTALL)
_NEAR = 200


@dataclass(frozen=True)
class RouteRow:
    """A route for good.

    :param luid: of the interface that it goes through. :param metric: None for Windows's choice.
    """

    luid: str
    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: Address
    metric: int | None


def luid(interface_type: int, index: int) -> str:
    """Return an interface's locally unique identifier, as the names of the rows have it."""
    return (b"\0\0\0" + index.to_bytes(3, "little") + interface_type.to_bytes(2, "little")).hex()


def permanent_address(rows: Mapping[str, Value], guid: str) -> str | None:
    """Return the MAC address that the hardware of an interface has, or None if the rows do not tell.

    The row has the address in use and then the permanent one.
    """
    wanted = uuid.UUID(guid).bytes_le
    for value in rows.values():
        at = value.data.find(wanted)
        if at < 0:
            continue
        found = _HARDWARE_ADDRESS.findall(value.data, at + len(wanted), at + _NEAR)
        if found:
            return mac_address(found[-1].hex(":"))
    return None


def address(family: int, name: str, value: Value) -> tuple[str, Interface] | None:
    """Return the interface's identifier and the address of a row, or None if it is not a usual one."""
    key = _key(name, _ADDRESS_AT + _BYTES[family])
    if key is None:
        return None
    length = int.from_bytes(value.data[_LENGTH_AT : _LENGTH_AT + 1], "little") if len(value.data) > _LENGTH_AT else 0
    found = ipaddress.ip_address(key[_ADDRESS_AT : _ADDRESS_AT + _BYTES[family]])
    if not 0 < length <= found.max_prefixlen:
        length = {4: 24, 6: 64}[family]
    return key[:8].hex(), ipaddress.ip_interface(f"{found}/{length}")


def route(family: int, name: str, value: Value) -> RouteRow | None:
    """Return the route of a row, or None if it is not a usual one."""
    network_at, length_at, luid_at, gateway_at = _ROUTE_LAYOUT[family]
    key = _key(name, gateway_at + _BYTES[family])
    if key is None:
        return None
    network = ipaddress.ip_address(key[network_at : network_at + _BYTES[family]])
    if key[length_at] > network.max_prefixlen:
        return None
    metric = int.from_bytes(value.data[_METRIC_AT : _METRIC_AT + 4].ljust(4, b"\xff"), "little")
    return RouteRow(
        key[luid_at : luid_at + 8].hex(),
        ipaddress.ip_network(f"{network}/{key[length_at]}", strict=False),
        ipaddress.ip_address(key[gateway_at : gateway_at + _BYTES[family]]),
        None if metric == _UNSET else metric,
    )


def _key(name: str, least: int) -> bytes | None:
    """Return the key of a row, or None if it is shorter than ``least`` bytes or no key at all."""
    try:
        key = bytes.fromhex(name)
    except ValueError:
        return None
    return key if len(key) >= least else None
