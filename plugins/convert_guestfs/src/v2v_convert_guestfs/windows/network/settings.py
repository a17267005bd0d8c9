# SPDX-License-Identifier: GPL-2.0-or-later
"""The network settings of an adapter that its administrator made; what DHCP gave it is not among them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from v2v_convert_guestfs.wanted_addresses import Address, Interface
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.network import nsi
from v2v_convert_guestfs.windows.network.adapters import Adapter
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import Value

#: Keys below a control set, by the adapter's identifier.
INTERFACE = r"Services\Tcpip\Parameters\Interfaces\{guid}"
#: Windows XP and 2003 keep a second copy.
INTERFACE_COPY = r"Services\{guid}\Parameters\Tcpip"
PERSISTENT_ROUTES = r"Services\Tcpip\Parameters\PersistentRoutes"
_INTERFACE6 = r"Services\Tcpip6\Parameters\Interfaces\{guid}"
_NETBIOS = r"Services\NetBT\Parameters\Interfaces\Tcpip_{guid}"

_Server = TypeVar("_Server", ipaddress.IPv4Address, ipaddress.IPv6Address)

#: How many addresses, gateways or servers of one adapter count.
_MOST = 200
_LEAST_MTU, _MOST_MTU = 576, 65535
_SUFFIX = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?", re.ASCII)
_REGISTER = {(False, False): "none", (True, False): "primary", (True, True): "both", (False, True): "none"}
_ANY = frozenset({ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::")})  # noqa: S104 - nothing is bound


@dataclass(frozen=True)
class Route:
    """A route by a gateway; that to the network 0.0.0.0/0 or ::/0 is the default route.

    :param metric: None for Windows's choice.
    """

    network: ipaddress.IPv4Network | ipaddress.IPv6Network
    gateway: Address
    metric: int | None = None

    @property
    def is_default(self) -> bool:
        """Whether it is for all destinations."""
        return self.network.prefixlen == 0


@dataclass(frozen=True, kw_only=True)
class IpSettings:
    """What an adapter has that DHCP does not give.

    :param routes: each destination and gateway once, the default routes first.
    :param register: in DNS: none, primary, both; None for what Windows does by itself (primary).
    :param netbios: NetbiosOptions; None for the default.
    """

    addresses: tuple[Interface, ...] = ()
    routes: tuple[Route, ...] = ()
    nameservers: tuple[Address, ...] = ()
    wins: tuple[ipaddress.IPv4Address, ...] = ()
    suffix: str | None = None
    register: str | None = None
    netbios: int | None = None
    metric: int | None = None
    mtu: int | None = None

    def __bool__(self) -> bool:
        """Return whether there is any setting."""
        return self != IpSettings()

    def addresses_of(self, family: int) -> tuple[Interface, ...]:
        """Return the addresses of a family."""
        return tuple(one for one in self.addresses if one.version == family)

    def routes_of(self, family: int) -> tuple[Route, ...]:
        """Return the routes of a family."""
        return tuple(one for one in self.routes if one.network.version == family)

    def nameservers_of(self, family: int) -> tuple[Address, ...]:
        """Return the name servers of a family."""
        return tuple(one for one in self.nameservers if one.version == family)


def read_settings(guest: WindowsGuest, adapter: Adapter) -> IpSettings:
    """Return the settings of an adapter in the control set that ran last, without routes other than by gateways.

    Warn about those that make no sense.
    """
    reading = _Reading(guest, adapter)
    key, key6, netbios = (reading.key(path) for path in (INTERFACE, _INTERFACE6, _NETBIOS))
    static = _number(key, "EnableDHCP") in {0, None}
    suffix = _text(key, "Domain")
    if suffix and not _SUFFIX.fullmatch(suffix):
        reading.warn(f"the DNS suffix {suffix[:100]!r}, which is no name of a domain")
        suffix = ""
    option, metric, mtu = _number(netbios, "NetbiosOptions"), _number(key, "InterfaceMetric"), _number(key, "MTU")
    return IpSettings(
        addresses=(*(reading.addresses(key) if static else ()), *reading.addresses6()),
        routes=reading.gateways(key) if static else (),
        nameservers=(
            *reading.servers(_text(key, "NameServer"), ipaddress.IPv4Address),
            *reading.servers(_text(key6, "NameServer"), ipaddress.IPv6Address),
        ),
        wins=reading.servers(",".join(_texts(netbios, "NameServerList")), ipaddress.IPv4Address),
        suffix=suffix or None,
        register=_registered(key),
        netbios=option if option in {1, 2} else None,
        metric=metric if metric is not None and 0 < metric < 10_000 else None,
        mtu=mtu if mtu is not None and _LEAST_MTU <= mtu < _MOST_MTU else None,
    )


class _Reading:
    """The reading of one adapter's settings."""

    def __init__(self, guest: WindowsGuest, adapter: Adapter) -> None:
        self._guest, self._adapter = guest, adapter

    def key(self, path: str) -> Key | None:
        return self._guest.registry.key(
            HiveName.SYSTEM, rf"{self._guest.system.current}\{path.replace('{guid}', self._adapter.guid)}"
        )

    def warn(self, what: str) -> None:
        self._guest.session.report.warning(
            f"Windows has, for the connection {self._adapter.name!r}, {what}: it is not carried over to KVM. Check it "
            "in the converted guest"
        )

    def addresses(self, key: Key | None) -> tuple[Interface, ...]:
        masks = _texts(key, "SubnetMask")
        found: list[Interface] = []
        for number, text in enumerate(_texts(key, "IPAddress")):
            address, mask = _address(text), masks[number] if number < len(masks) else ""
            if address in _ANY:
                continue
            network = _with_mask(address, mask)
            if network is None:
                self.warn(f"the address {text[:50]!r} with the mask {mask[:50]!r}")
            else:
                found.append(network)
        return tuple(dict.fromkeys(found))

    def addresses6(self) -> tuple[Interface, ...]:
        table = self.key(nsi.ADDRESSES[6])
        rows = table.values() if table is not None and self._adapter.luid is not None else {}
        found = [nsi.address(6, name, value) for name, value in rows.items()]
        mine = [one for one in found if one is not None and one[0] == self._adapter.luid]
        return tuple(address for _, address in mine if not (address.is_link_local or address.is_multicast))

    def gateways(self, key: Key | None) -> tuple[Route, ...]:
        metrics = _texts(key, "DefaultGatewayMetric")
        found: dict[Address, int | None] = {}
        for number, text in enumerate(_texts(key, "DefaultGateway")):
            gateway = _address(text)
            metric = metrics[number] if number < len(metrics) else ""
            if gateway is None or gateway.version != 4:
                self.warn(f"the gateway {text[:50]!r}")
            elif gateway not in _ANY:
                found.setdefault(gateway, int(metric) if re.fullmatch(r"[1-9]\d{0,3}", metric, re.ASCII) else None)
        return tuple(Route(ipaddress.ip_network("0.0.0.0/0"), gateway, metric) for gateway, metric in found.items())

    def servers(self, text: str, family: Callable[[str], _Server]) -> tuple[_Server, ...]:
        found = []
        for word in list(filter(None, re.split(r"[,;\s]+", text)))[:_MOST]:
            try:
                found.append(family(word))
            except ValueError:
                self.warn(f"the server {word[:50]!r}, which is no address")
        return tuple(dict.fromkeys(found))


def persistent_routes(guest: WindowsGuest) -> Iterator[tuple[str, Route]]:
    r"""Yield the names of the values in ``PersistentRoutes`` of the control set that ran last, and their routes."""
    key = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.current}\{PERSISTENT_ROUTES}")
    for name in key.values() if key is not None else ():
        if (route := route_of(name)) is not None:
            yield name, route


def route_of(name: str) -> Route | None:
    """Return the route that the name of a value states as destination, mask, gateway, metric."""
    words = name.split(",")
    if len(words) != 4:
        return None
    network, gateway = _with_mask(_address(words[0]), words[1], any_mask=True), _address(words[2])
    if network is None or gateway is None or gateway.version != 4:
        return None
    metric = words[3].strip()
    return Route(network.network, gateway, int(metric) if re.fullmatch(r"[1-9]\d{0,3}", metric, re.ASCII) else None)


def _address(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.strip())
    except ValueError:
        return None
    # A zone (fe80::1%3) would be another interface on KVM, and a per cent sign means something in batch files
    return None if isinstance(found, ipaddress.IPv6Address) and found.scope_id else found


def _with_mask(address: Address | None, mask: str, *, any_mask: bool = False) -> ipaddress.IPv4Interface | None:
    """Return the IPv4 address with its network, or None if one of them is wrong. A mask of zeros is for routes."""
    parsed = _address(mask)
    if not isinstance(address, ipaddress.IPv4Address) or not isinstance(parsed, ipaddress.IPv4Address):
        return None
    length = f"{int(parsed):032b}".rstrip("0")
    if "0" in length or not (length or any_mask):
        return None
    return ipaddress.IPv4Interface(f"{address}/{len(length)}")


def _registered(key: Key | None) -> str | None:
    """Return what the adapter registers in DNS, None if it is what Windows does by itself."""
    enabled, named = _number(key, "RegistrationEnabled"), _number(key, "RegisterAdapterName")
    found = _REGISTER[enabled != 0, named == 1]
    return None if found == "primary" else found


def _value(key: Key | None, name: str) -> Value | None:
    return key.value(name) if key is not None else None


def _number(key: Key | None, name: str) -> int | None:
    value = _value(key, name)
    return value.number if value is not None else None


def _text(key: Key | None, name: str) -> str:
    value = _value(key, name)
    return ((value.text if value is not None else None) or "").strip()


def _texts(key: Key | None, name: str) -> tuple[str, ...]:
    """Return the texts of a value; Windows's own tools and others write single ones as plain text, too."""
    value = _value(key, name)
    found = (value.texts or ((value.text,) if value.text else ())) if value is not None else ()
    return tuple(text.strip() for text in found[:_MOST] if text.strip())
