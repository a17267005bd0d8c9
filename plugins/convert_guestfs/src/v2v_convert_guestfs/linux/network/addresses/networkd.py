# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses in systemd's .network files. The format is specified in systemd.network(5)."""

from __future__ import annotations

from v2v_convert_guestfs.linux.network import ini
from v2v_convert_guestfs.linux.network.addresses.sections import Sections
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

DIRECTORY = "/etc/systemd/network"
_PORT = ("Bridge", "Bond", "BatmanAdvanced", "VRF")
_WITHOUT = {
    4: {"yes": "ipv6", "true": "ipv6", "1": "ipv6", "on": "ipv6", "both": "ipv6", "ipv4": "no", "v4": "no"},
    6: {"yes": "ipv4", "true": "ipv4", "1": "ipv4", "on": "ipv4", "both": "ipv4", "ipv6": "no", "v6": "no"},
}


def edit(data: bytes, wanted: Wanted) -> bytes | None:
    """Set the addresses of the NIC in a file that matches it by its MAC address or by its name.

    :raises NotEditable: the NIC is a port of a bridge or bond, or the file also matches others.
    """
    parsed = ini.sections(data)
    match = parsed.get("Match", {})
    macs, names = ini.macs_of(match), match.get("Name", "").split()
    if match.get("Kind") or match.get("Type", "ether") != "ether":
        return None
    if not (wanted.mac in macs if macs else set(names) & set(wanted.names)):
        return None
    if len(macs or names) > 1:
        raise NotEditable("it also configures other NICs")
    if any(parsed.get("Network", {}).get(key) for key in _PORT):
        raise NotEditable("it makes the NIC a port of a bridge or bond")
    lines = Sections(data)
    for family in wanted.families:
        _take_out(lines, family)
    if wanted.nameservers:
        lines.drop("Network", lambda key, _: key == "DNS")
    lines.add("Network", _lines(wanted))
    return lines.to_bytes()


def new(wanted: Wanted) -> tuple[str, bytes]:
    """Return the path and the content of a new file that matches the NIC by its MAC address.

    It sorts before other files, because systemd uses the first that matches.
    """
    text = "# Written by virt-v2v: the address that was asked for. VLANs and bridges are no Type=ether.\n"
    text += f"[Match]\nMACAddress={wanted.mac}\nType=ether\n\n[Network]\n"
    text += "".join(f"{line}\n" for line in _lines(wanted))
    return f"{DIRECTORY}/05-v2v-{wanted.mac.replace(':', '')}.network", text.encode()


def _take_out(lines: Sections, family: int) -> None:
    """Remove all settings that give the NIC an address or a default route of a family."""
    lines.drop("Network", lambda key, value: key in {"Address", "Gateway"} and _family(value) == family)
    lines.change("Network", "DHCP", lambda value: _WITHOUT[family].get(value.lower(), value))
    lines.drop_sections("Address", lambda pairs: _family(pairs.get("Address", "")) == family)
    lines.drop_sections(
        "Route",
        lambda pairs: "Gateway" in pairs and "Destination" not in pairs and _family(pairs["Gateway"]) == family,
    )


def _lines(wanted: Wanted) -> list[str]:
    return [
        *(f"Address={address}" for address in wanted.addresses),
        *(f"Gateway={gateway}" for gateway in wanted.gateways),
        *(f"DNS={server}" for server in wanted.nameservers),
    ]


def _family(value: str) -> int:
    return 6 if ":" in value else 4
