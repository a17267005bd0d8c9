# SPDX-License-Identifier: GPL-2.0-or-later
"""Registries of simulated Windows guests with network adapters, laid out as in the real hives of Windows 7 and 10."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import network
from v2v_convert_guestfs.windows.network.plan import NetworkPlan
from v2v_core.api import ConvertSettings, Guest, Nic, StaticAddress
from windows_guest import SimulatedGuest, windows_guest

CLASS = "{4D36E972-E325-11CE-BFC1-08002BE10318}"
E1000 = r"PCI\VEN_8086&DEV_100F&SUBSYS_075015AD&REV_01\4&B70F118&0&"
WINDOWS_7: Mapping[str, Any] = {"version": (6, 1), "build": 7601, "arch": "i386", "osinfo": "win7"}
XP: Mapping[str, Any] = {"version": (5, 1), "build": 2600, "arch": "i386", "osinfo": "winxp", "systemroot": "/WINDOWS"}
A, B = "00:50:56:a5:12:69", "00:0c:29:77:d9:81"


@dataclass(frozen=True)
class Card:
    """A network adapter in the registry.

    :param number: makes up its identifiers. :param tcpip: values of its key of Tcpip.
    :param mac: that the tables of Windows 7 remember. :param kernel_mac: that Windows 10 remembers.
    """

    number: int
    name: str
    instance: str
    tcpip: Mapping[str, Any] = field(default_factory=dict)
    mac: str | None = None
    kernel_mac: str | None = None
    slot: int | None = None
    location: str | None = None
    driver: Mapping[str, Any] = field(default_factory=dict)
    netbt: Mapping[str, Any] = field(default_factory=dict)
    tcpip6: Mapping[str, Any] = field(default_factory=dict)
    addresses6: Sequence[str] = ()

    @property
    def guid(self) -> str:
        return f"{{{self.number:08X}-4F58-4D86-B61D-F42E58DCACF6}}"

    @property
    def luid(self) -> str:
        return f"000000{self.number:02x}00000600"


def static(*addresses: str, gateway: str = "", servers: str = "", **more: Any) -> dict[str, Any]:
    """Return the values of an adapter's key of Tcpip, as Windows writes them for static addresses."""
    interfaces = [ipaddress.IPv4Interface(address) for address in addresses]
    return {
        "EnableDHCP": 0,
        "NameServer": servers,
        "Domain": "",
        "RegistrationEnabled": 1,
        "RegisterAdapterName": 0,
        "DhcpServer": "255.255.255.255",
        "IPAddress": [str(one.ip) for one in interfaces],
        "SubnetMask": [str(one.netmask) for one in interfaces],
        "DefaultGateway": [gateway] if gateway else [],
        "DefaultGatewayMetric": ["0"] if gateway else [],
        **more,
    }


def hive(*cards: Card, routes: Sequence[str] = (), control_set: str = "ControlSet001", **more: Any) -> dict[str, Any]:
    """Return a SYSTEM hive with the adapters.

    :param routes: the names of the values in PersistentRoutes. :param more: other keys of the control set.
    """
    found: dict[str, Any] = {}
    tables: dict[str, dict[str, Any]] = {"interfaces": {}, "addresses6": {}}
    for card in cards:
        found[rf"Control\Network\{CLASS}\{card.guid}\Connection"] = {"Name": card.name, "PnpInstanceID": card.instance}
        driver = {"NetCfgInstanceId": card.guid, "NetLuidIndex": card.number, "*IfType": 6, "Characteristics": 0x84}
        found[rf"Control\Class\{CLASS}\{card.number:04}"] = {**driver, **card.driver}
        device = {"UINumber": card.slot, "LocationInformation": card.location}
        found[rf"Enum\{card.instance}"] = {name: value for name, value in device.items() if value is not None}
        found[rf"Services\Tcpip\Parameters\Interfaces\{card.guid.lower()}"] = card.tcpip
        found[rf"Services\Tcpip6\Parameters\Interfaces\{card.guid.lower()}"] = card.tcpip6
        found[rf"Services\NetBT\Parameters\Interfaces\Tcpip_{card.guid}"] = {"NetbiosOptions": 0, **card.netbt}
        if card.mac is not None:
            tables["interfaces"][card.luid] = interface_row(card)
        if card.kernel_mac is not None:
            kernel = {"PermanentAddress": bytes.fromhex(card.kernel_mac.replace(":", "")), "IfAlias": card.name}
            found[rf"Control\NetworkSetup2\Interfaces\{card.guid}\Kernel"] = kernel
        for address in card.addresses6:
            one = ipaddress.IPv6Interface(address)
            tables["addresses6"][card.luid + one.ip.packed.hex()] = address_row(one.network.prefixlen)
    found[r"Control\Nsi\{eb004a11-9b1a-11d4-9123-0050047759bc}\10"] = tables["interfaces"]
    found[r"Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\10"] = tables["addresses6"]
    found[r"Services\Tcpip\Parameters\PersistentRoutes"] = dict.fromkeys(routes, "")
    found[r"Control\Nls\CodePage"] = {"OEMCP": "850"}
    return {rf"{control_set}\{path}": content for path, content in {**found, **more}.items()}


def interface_row(card: Card, permanent: str | None = None) -> bytes:
    """Return a row of the table of interfaces: 2312 bytes, with both MAC addresses after the identifier."""
    row = bytearray(b"\xff" * 2312)
    row[0:1160] = bytes(1160)
    row[0:4] = bytes.fromhex("ae018404")
    row[1040:1056] = uuid.UUID(card.guid).bytes_le
    for at, mac in ((1088, card.mac or ""), (1122, permanent or card.mac or "")):
        row[at : at + 8] = b"\x06\0" + bytes.fromhex(mac.replace(":", ""))
    return bytes(row)


def address_row(length: int) -> bytes:
    """Return a row of the table of addresses."""
    return b"\xff" * 8 + b"\x10\0\0\0" * 2 + length.to_bytes(4, "little") + b"\xff" * 28


def nics(*macs: str, **more: Any) -> tuple[Nic, ...]:
    """Return NICs of the source."""
    return tuple(Nic(mac=mac, **more) for mac in macs)


def planned(
    system: Mapping[str, Any],
    source: Sequence[Nic],
    asked: Sequence[StaticAddress] = (),
    **facts: Any,
) -> tuple[SimulatedGuest, NetworkPlan]:
    """Return a guest after the examination and the change of its network."""
    guest = windows_guest(
        system=system,
        guest=Guest(name="g", nics=tuple(source)),
        settings=ConvertSettings(static_addresses=tuple(asked)),
        **facts,
    )
    plan = network.examine(guest, Blockers())
    assert not guest.registry.edits
    network.change(guest, plan)
    return guest, plan


def addresses(plan: NetworkPlan) -> list[tuple[str, str]]:
    """Return the MAC addresses and addresses that the first boot sets."""
    return [(one.mac, str(one.address)) for one in plan.replayed]


def commands(guest: SimulatedGuest) -> list[str]:
    """Return the calls of netsh and reg in the script for the first boot."""
    (script,) = guest.first_boot.scripts
    return [line for line in script.body.splitlines() if line.startswith(("netsh interface ip", "if defined guid reg"))]
