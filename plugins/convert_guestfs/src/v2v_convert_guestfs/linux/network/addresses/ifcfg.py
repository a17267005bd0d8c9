# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses in ifcfg files of Red Hat and SUSE, and in SUSE's files of routes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.network import ifcfg
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

REDHAT = "/etc/sysconfig/network-scripts"
SUSE = "/etc/sysconfig/network"
#: SUSE's file with the name servers of the whole machine.
SUSE_CONFIG = f"{SUSE}/config"
SUSE_SERVERS = "NETCONFIG_DNS_STATIC_SERVERS"
_PORT = ("MASTER", "BRIDGE", "TEAM_MASTER", "BRIDGE_UUID", "MASTER_UUID")
_REDHAT = {
    4: re.compile(r"(?:IPADDR|PREFIX|NETMASK|NETWORK|BROADCAST|GATEWAY)\d*"),
    6: re.compile(r"IPV6(?:ADDR|ADDR_SECONDARIES|_DEFAULTGW|_AUTOCONF|INIT)|DHCPV6C"),
}
_REDHAT_SERVERS = re.compile(r"DNS\d+")
_SUSE = re.compile(r"(?:IPADDR|PREFIXLEN|NETMASK|NETWORK|BROADCAST|REMOTE_IPADDR)(?:_\w+)?", re.ASCII)


def edit_redhat(data: bytes, path: str, wanted: Wanted) -> bytes | None:
    """Set the addresses of the NIC in a file of Red Hat.

    :raises NotEditable: the NIC is a port of a bridge, bond or team, or the file is damaged.
    """
    if not _is_meant(data, path, wanted):
        return None
    if 4 in wanted.families:
        data = _set(shell.remove(data, _REDHAT[4]), {"BOOTPROTO": "none", **_redhat4(wanted)})
    if 6 in wanted.families:
        data = _set(shell.remove(data, _REDHAT[6]), _redhat6(wanted))
    if wanted.nameservers:
        data = _set(shell.remove(data, _REDHAT_SERVERS), _redhat_servers(wanted))
    return data


def new_redhat(wanted: Wanted) -> tuple[str, bytes]:
    """Return the path and the content of a new file that matches the NIC by its MAC address."""
    name = f"v2v-{wanted.mac.replace(':', '')}"
    values = {"TYPE": "Ethernet", "NAME": name, "HWADDR": wanted.mac.upper(), "ONBOOT": "yes", "BOOTPROTO": "none"}
    values |= _redhat4(wanted) if 4 in wanted.families else {}
    values |= _redhat6(wanted) if 6 in wanted.families else {}
    return f"{REDHAT}/ifcfg-{name}", _set(b"", values | _redhat_servers(wanted))


def edit_suse(data: bytes, path: str, wanted: Wanted) -> bytes | None:
    """Set the addresses of the NIC in a file of SUSE, where both families use the same variables.

    :raises NotEditable: the NIC is a port of a bridge, bond or team, or the file cannot be edited.
    """
    if not _is_meant(data, path, wanted):
        return None
    text = data.decode("latin-1")
    values = {
        variable.name: shell.unquoted(text[variable.start : variable.end]) for variable in shell.assignments(text)
    }
    kept = []
    for name, value in values.items():
        if name.startswith("IPADDR") and value and (6 if ":" in value else 4) not in wanted.families:
            length = values.get(name.replace("IPADDR", "PREFIXLEN", 1), "")
            kept.append(f"{value}/{length}" if length and "/" not in value else value)
    try:
        return _set(shell.remove(data, _SUSE), _suse(wanted, kept))
    except ValueError as err:
        raise NotEditable("it is written in a way that cannot be edited") from err


def new_suse(wanted: Wanted) -> tuple[str, bytes] | None:
    """Return the path and the content of a new file. Return None if the NIC's name is unknown: the path contains it."""
    if not wanted.names:
        return None
    return f"{SUSE}/ifcfg-{wanted.names[0]}", _set(b"", {"STARTMODE": "auto", **_suse(wanted)})


def suse_routes(data: bytes, wanted: Wanted) -> bytes:
    """Comment out the default routes of the newly configured families in SUSE's file of routes."""
    kept = []
    for line in data.decode("latin-1").split("\n"):
        words = line.split()
        device = words[3] if len(words) > 3 else "-"
        gone = (
            len(words) > 1
            and words[0] in {"default", "0.0.0.0/0", "::/0"}
            and (6 if ":" in words[1] else 4) in wanted.families
            and device in {"-", *wanted.names}
        )
        kept.append(f"# {line}" if gone else line)
    return "\n".join(kept).encode("latin-1")


def suse_gateways(wanted: Wanted) -> bytes:
    """Return the lines of ifroute-NAME for the gateways."""
    return "".join(f"default {gateway} - -\n" for gateway in wanted.gateways).encode()


def _is_meant(data: bytes, path: str, wanted: Wanted) -> bool:
    read = ifcfg.ifcfg(data, path)
    mac = mac_address(shell.value(data, "HWADDR"))
    name = (shell.value(data, "DEVICE") or "").strip()
    if not name and "/network-scripts/" not in path:
        name = path.rpartition("/")[2].removeprefix("ifcfg-")
    # Aliases (eth0:1), VLANs and bridges are not NICs.
    if (name and name not in read.nics) or (not name and not read.matched) or not wanted.is_meant(mac, name):
        return False
    if any(shell.value(data, key) for key in _PORT) or shell.value(data, "SLAVE") == "yes":
        raise NotEditable("it makes the NIC a port of a bridge, bond or team")
    if not shell.is_whole(data):
        raise NotEditable("a quote in it is not closed")
    return True


def _redhat4(wanted: Wanted) -> dict[str, str]:
    values = {}
    for number, text in enumerate(wanted.addresses_of(4)):
        address, _, length = text.partition("/")
        values[f"IPADDR{number or ''}"], values[f"PREFIX{number or ''}"] = address, length
    gateway = wanted.gateway_of(4)
    return {**values, **({"GATEWAY": gateway} if gateway else {})}


def _redhat6(wanted: Wanted) -> dict[str, str]:
    first, *others = wanted.addresses_of(6)
    values = {"IPV6INIT": "yes", "IPV6_AUTOCONF": "no", "IPV6ADDR": first}
    gateway = wanted.gateway_of(6)
    values |= {"IPV6ADDR_SECONDARIES": " ".join(others)} if others else {}
    return {**values, **({"IPV6_DEFAULTGW": gateway} if gateway else {})}


def _redhat_servers(wanted: Wanted) -> dict[str, str]:
    return {f"DNS{number}": str(server) for number, server in enumerate(wanted.nameservers, 1)}


def _suse(wanted: Wanted, kept: Sequence[str] = ()) -> dict[str, str]:
    listed = enumerate([*map(str, wanted.addresses), *kept])
    return {"BOOTPROTO": "static", **{f"IPADDR{f'_{number}' if number else ''}": address for number, address in listed}}


def _set(data: bytes, values: dict[str, str]) -> bytes:
    for name, value in values.items():
        data = shell.set_value(data, name, value)
    return data
