# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses in NetworkManager's keyfiles. The format is specified in nm-settings-keyfile(5)."""

from __future__ import annotations

import re
import uuid

from v2v_convert_guestfs.linux.network import ini
from v2v_convert_guestfs.linux.network.addresses.sections import Sections
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

DIRECTORY = "/etc/NetworkManager/system-connections"
_PORT = ("master", "controller", "slave-type", "port-type")
_ADDRESSING = re.compile(r"address(?:es)?\d*|gateway|method", re.ASCII)


def edit(data: bytes, wanted: Wanted) -> bytes | None:
    """Set the addresses in an Ethernet connection of the NIC.

    :raises NotEditable: the NIC is a port of a bridge, bond or team.
    """
    parsed = ini.sections(data)
    connection = parsed.get("connection", {})
    ethernet = parsed.get("ethernet", {}) | parsed.get("802-3-ethernet", {})
    mac = mac_address(ethernet.get("mac-address"))
    if connection.get("type", "") not in ini.ETHERNET or not wanted.is_meant(mac, connection.get("interface-name")):
        return None
    if any(connection.get(key) for key in _PORT):
        raise NotEditable("it makes the NIC a port of a bridge, bond or team")
    lines = Sections(data)
    for family in (4, 6):
        section, servers = f"ipv{family}", wanted.nameservers_of(family)
        if servers:
            lines.drop(section, lambda key, _: key == "dns")
        if family in wanted.families:
            lines.drop(section, lambda key, _: bool(_ADDRESSING.fullmatch(key)))
            lines.add(section, [*_addressing(wanted, family), *_dns(servers)])
        elif servers:
            lines.add(section, [*([] if section in parsed else ["method=auto"]), *_dns(servers)])
    return lines.to_bytes()


def new(wanted: Wanted) -> tuple[str, bytes]:
    """Return the path and the content of a new connection that matches the NIC by its MAC address.

    Only root may read the file.
    """
    name = f"v2v-{wanted.mac.replace(':', '')}"
    identity = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:v2v:{wanted.mac}")
    text = f"[connection]\nid={name}\nuuid={identity}\ntype=ethernet\nautoconnect-priority=100\n"
    text += f"\n[ethernet]\nmac-address={wanted.mac.upper()}\n"
    for family in (4, 6):
        servers = _dns(wanted.nameservers_of(family))
        lines = _addressing(wanted, family) if family in wanted.families else ["method=auto"]
        text += "\n".join(["", f"[ipv{family}]", *lines, *servers, ""])
    return f"{DIRECTORY}/{name}.nmconnection", text.encode()


def _addressing(wanted: Wanted, family: int) -> list[str]:
    gateway = wanted.gateway_of(family)
    first, *others = wanted.addresses_of(family)
    numbered = [f"{first},{gateway}" if gateway else first, *others]
    return ["method=manual", *(f"address{number}={text}" for number, text in enumerate(numbered, 1))]


def _dns(servers: tuple[str, ...]) -> list[str]:
    return [f"dns={''.join(f'{server};' for server in servers)}"] if servers else []
