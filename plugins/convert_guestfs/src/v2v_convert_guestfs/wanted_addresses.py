# SPDX-License-Identifier: GPL-2.0-or-later
"""The requested addresses of NICs, as objects of Python's ipaddress module."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.session import Session
from v2v_core.api import StaticAddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

#: The prefix length if the user does not state one, by family.
_USUAL_PREFIX = {4: 24, 6: 64}


class NotEditable(ValueError):
    """A file configures the NIC, but the address cannot be set in it. The message is the reason."""


@dataclass(frozen=True)
class Wanted:
    """The configuration that the user requests for a NIC.

    :param names: the names of the NIC in the guest's configuration. :param gateways: at most one of each family.
    """

    mac: str
    addresses: tuple[Interface, ...]
    gateways: tuple[Address, ...] = ()
    nameservers: tuple[Address, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def families(self) -> tuple[int, ...]:
        """Return the families (4, 6 or both) that are configured. Their old configuration is replaced."""
        return tuple(sorted({address.version for address in self.addresses}))

    def addresses_of(self, family: int) -> tuple[str, ...]:
        """Return the addresses of a family as ADDRESS/LENGTH."""
        return tuple(str(address) for address in self.addresses if address.version == family)

    def gateway_of(self, family: int) -> str | None:
        """Return the gateway of a family, or None."""
        return next((str(gateway) for gateway in self.gateways if gateway.version == family), None)

    def nameservers_of(self, family: int) -> tuple[str, ...]:
        """Return the name servers of a family."""
        return tuple(str(server) for server in self.nameservers if server.version == family)

    def is_meant(self, mac: str | None, name: str | None) -> bool:
        """Return whether a file with this MAC address, or without one and with this name, configures the NIC."""
        return mac == self.mac if mac else name in self.names

    def described(self) -> str:
        """Return a description for the user."""
        text = ", ".join(str(address) for address in self.addresses)
        return text + "".join(f", gateway {gateway}" for gateway in self.gateways)


def wanted(given: Iterable[StaticAddress]) -> tuple[list[Wanted], list[str]]:
    """Return the request for each NIC, merged from all options with its MAC address, and warnings for the user."""
    by_mac: dict[str, list[StaticAddress]] = {}
    notes: list[str] = []
    for one in given:
        by_mac.setdefault(one.mac, []).append(one)
    requests = []
    for mac, several in by_mac.items():
        addresses: list[Interface] = []
        gateways: dict[int, Address] = {}
        for one in several:
            address = ipaddress.ip_address(one.address)
            length = one.prefix if one.prefix is not None else _USUAL_PREFIX[address.version]
            addresses.append(ipaddress.ip_interface(f"{address}/{length}"))
            if one.prefix is None:
                notes.append(f"--mac {mac}:ip:{address} has no prefix length: using {length}")
            if one.gateway is not None:
                gateway = ipaddress.ip_address(one.gateway)
                if gateways.setdefault(gateway.version, gateway) != gateway:
                    notes.append(f"--mac {mac}:ip has a second gateway, {gateway}, which is ignored")
                if gateway not in addresses[-1].network and not gateway.is_link_local:
                    notes.append(f"the gateway {gateway} is not in the network of {addresses[-1]}")
        nameservers = dict.fromkeys(ipaddress.ip_address(server) for one in several for server in one.nameservers)
        requests.append(
            Wanted(
                mac=mac,
                addresses=tuple(dict.fromkeys(addresses)),
                gateways=tuple(gateways.values()),
                nameservers=tuple(nameservers),
            )
        )
    return requests, notes


def asked_for(session: Session) -> list[Wanted]:
    """Return the user's requests for NICs that the source has. Warn about all others, and about other problems."""
    requests, notes = wanted(session.request.settings.static_addresses)
    macs = {mac_address(nic.mac) for nic in session.request.guest.nics}
    for note in notes:
        session.report.warning(note)
    for one in requests:
        if one.mac not in macs:
            known = ", ".join(sorted(mac for mac in macs if mac)) or "none"
            session.report.warning(
                f"--mac {one.mac}:ip is ignored: no NIC of the source has this MAC address (known: {known})"
            )
    return [one for one in requests if one.mac in macs]
