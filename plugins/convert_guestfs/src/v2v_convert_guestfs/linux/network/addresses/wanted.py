# SPDX-License-Identifier: GPL-2.0-or-later
"""What one NIC is to have, in the words of Python's ipaddress."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from v2v_core.api import StaticAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

#: The length of a prefix that is taken where the user says none.
_USUAL_PREFIX = {4: 24, 6: 64}


class NotEditable(ValueError):
    """The file is about the NIC, and cannot be given its address; the message says why."""


@dataclass(frozen=True)
class Wanted:
    """What one NIC is to have.

    :param names: the names by which the guest's configuration knows it.
    :param gateways: at most one of each family.
    """

    mac: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...] = ()
    nameservers: tuple[Address, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def families(self) -> tuple[int, ...]:
        """4, 6 or both: those that are to be configured, and whose configuration so far is replaced."""
        return tuple(sorted({address.version for address in self.addresses}))

    def addresses_of(self, family: int) -> tuple[str, ...]:
        """Give the addresses of a family as ADDRESS/LENGTH."""
        return tuple(str(address) for address in self.addresses if address.version == family)

    def gateway_of(self, family: int) -> str | None:
        """Give the gateway of a family."""
        return next((str(gateway) for gateway in self.gateways if gateway.version == family), None)

    def nameservers_of(self, family: int) -> tuple[str, ...]:
        """Give the name servers of a family."""
        return tuple(str(server) for server in self.nameservers if server.version == family)

    def is_meant(self, mac: str | None, name: str | None) -> bool:
        """Tell whether a file that states this MAC address, or else this name, is about the NIC."""
        return mac == self.mac if mac else name in self.names

    def described(self) -> str:
        """Give it as a user reads it."""
        text = ", ".join(str(address) for address in self.addresses)
        return text + "".join(f", gateway {gateway}" for gateway in self.gateways)


def wanted(given: Iterable[StaticAddress]) -> tuple[list[Wanted], list[str]]:
    """Give what each NIC is to have, by MAC address, and what is to be said about it."""
    by_mac: dict[str, list[StaticAddress]] = {}
    notes: list[str] = []
    for one in given:
        by_mac.setdefault(one.mac, []).append(one)
    found = []
    for mac, several in by_mac.items():
        addresses: list[Interface] = []
        gateways: dict[int, Address] = {}
        for one in several:
            address = ipaddress.ip_address(one.address)
            length = one.prefix if one.prefix is not None else _USUAL_PREFIX[address.version]
            addresses.append(ipaddress.ip_interface(f"{address}/{length}"))
            if one.prefix is None:
                notes.append(f"--mac {mac}:ip:{address} says no prefix length: {length} is taken")
            if one.gateway is not None:
                gateway = ipaddress.ip_address(one.gateway)
                if gateways.setdefault(gateway.version, gateway) != gateway:
                    notes.append(f"--mac {mac}:ip names a second gateway, {gateway}: it is left out")
                if gateway not in addresses[-1].network and not gateway.is_link_local:
                    notes.append(f"the gateway {gateway} is not in the network of {addresses[-1]}")
        nameservers = dict.fromkeys(ipaddress.ip_address(server) for one in several for server in one.nameservers)
        found.append(
            Wanted(
                mac=mac,
                addresses=tuple(dict.fromkeys(addresses)),
                gateways=tuple(gateways.values()),
                nameservers=tuple(nameservers),
            )
        )
    return found, notes
