# SPDX-License-Identifier: GPL-2.0-or-later
"""Static addresses in /etc/netplan/*.yaml. Files are edited line by line, and parsed again to verify the result."""

from __future__ import annotations

import json
import re
from typing import Any

from v2v_convert_guestfs.linux.network import netplan
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted

DIRECTORY = "/etc/netplan"
_DEFAULTS = {"default", "0.0.0.0/0", "::/0", "0/0"}
_GATEWAYS = {4: "gateway4", 6: "gateway6"}
_DHCP = {4: "dhcp4", 6: "dhcp6"}
#: Line breaks in YAML that ``split("\n")`` does not recognise.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
_ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def edit(data: bytes, wanted: Wanted) -> bytes | None:
    """Set the addresses of the NIC in its entry of ``ethernets:``.

    :raises NotEditable: the NIC is a port of a bridge or bond, or the file is written in a way that cannot be edited.
    """
    document = netplan.load(data)
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict):
        return None
    name = next(
        (name for name, settings in netplan.entries(network, "ethernets") if _is_meant(name, settings, wanted)), None
    )
    if name is None:
        return None
    if any(name in _ports(settings) for kind in ("bridges", "bonds") for _, settings in netplan.entries(network, kind)):
        raise NotEditable("it makes the NIC a port of a bridge or bond")
    text = data.decode("utf-8")
    if _OTHER_BREAKS.search(text):
        raise NotEditable("it has line breaks of an unusual kind")
    settings = network["ethernets"][name]
    old = settings if isinstance(settings, dict) else {}
    new = _settings(old, wanted)
    text = _replaced(text, name, old, new)
    network["ethernets"][name] = new
    if netplan.load(text.encode()) != document:
        raise NotEditable("it is written in a way that cannot be edited")
    return text.encode()


def new(wanted: Wanted) -> tuple[str, bytes]:
    """Return the path and the content of a new file that matches the NIC by its MAC address.

    Only root may read the file.
    """
    name = f"v2v-{wanted.mac.replace(':', '')}"
    lines = _lines(_settings({"match": {"macaddress": wanted.mac}}, wanted), "      ")
    text = (
        f"# Written by virt-v2v: the address that was asked for.\nnetwork:\n  version: 2\n  ethernets:\n    {name}:\n"
    )
    return f"{DIRECTORY}/90-{name}.yaml", (text + "".join(f"{line}\n" for line in lines)).encode()


def _is_meant(name: str, settings: dict[Any, Any], wanted: Wanted) -> bool:
    match = settings.get("match")
    if not isinstance(match, dict) or not match:
        return name in wanted.names
    mac = mac_address(match.get("macaddress") if isinstance(match.get("macaddress"), str) else None)
    return wanted.is_meant(mac, match.get("name") if isinstance(match.get("name"), str) else None)


def _ports(settings: dict[Any, Any]) -> list[Any]:
    ports = settings.get("interfaces")
    return ports if isinstance(ports, list) else []


def _settings(old: dict[Any, Any], wanted: Wanted) -> dict[Any, Any]:
    """Return the new settings. All scalars are strings, as ``netplan.load`` returns them."""
    new = dict(old)
    addresses = [one for one in _list(old, "addresses") if _family(_address(one)) not in wanted.families]
    routes = [
        one
        for one in _list(old, "routes")
        if not (
            isinstance(one, dict) and one.get("to") in _DEFAULTS and _family(str(one.get("via", ""))) in wanted.families
        )
    ]
    for family in wanted.families:
        new.pop(_GATEWAYS[family], None)
        new[_DHCP[family]] = "false"
        addresses += wanted.addresses_of(family)
        if gateway := wanted.gateway_of(family):
            routes.append({"to": _ANYWHERE[family], "via": gateway})
    new["addresses"] = addresses
    new.pop("routes", None)
    if routes:
        new["routes"] = routes
    if wanted.nameservers:
        servers = old.get("nameservers")
        kept = servers if isinstance(servers, dict) else {}
        new["nameservers"] = {**kept, "addresses": [str(server) for server in wanted.nameservers]}
    return new


def _list(settings: dict[Any, Any], key: str) -> list[Any]:
    value = settings.get(key)
    return list(value) if isinstance(value, list) else []


def _address(one: object) -> str:
    # An address with options is a mapping with one key.
    return str(next(iter(one), "")) if isinstance(one, dict) else str(one)


def _family(text: str) -> int:
    return 6 if ":" in text else 4


def _replaced(text: str, name: str, old: dict[Any, Any], new: dict[Any, Any]) -> str:
    """Replace the lines of the settings that change.

    The new lines take the place of the first removed one, or follow the last setting.
    """
    import yaml

    node: Any = yaml.compose(text, Loader=yaml.BaseLoader)
    for step in ("network", "ethernets"):
        node = _value(node, step)
    key = next(key for key, _ in node.value if key.value == name)
    settings = _value(node, name)
    changed = {key: value for key, value in new.items() if key not in old or old[key] != value}
    gone = {key for key in old if key not in new or key in changed}
    lines = text.split("\n")
    if isinstance(settings, yaml.ScalarNode) and not settings.value:
        indent = " " * (key.start_mark.column + 2)
        lines[key.end_mark.line : key.end_mark.line + 1] = [lines[key.end_mark.line], *_lines(changed, indent)]
        return "\n".join(lines)
    if isinstance(settings, yaml.MappingNode) and settings.flow_style:
        entries = ", ".join(_lines(new, ""))
        return f"{text[: settings.start_mark.index]}{{{entries}}}{text[settings.end_mark.index :]}"
    if not isinstance(settings, yaml.MappingNode) or not settings.value:
        raise NotEditable("it is written in a way that cannot be edited")
    indent = " " * settings.value[0][0].start_mark.column
    end = _last_line(settings) + 1
    removed = [
        range(key.start_mark.line, max(_last_line(value), key.end_mark.line) + 1)
        for key, value in settings.value
        if key.value in gone
    ]
    first = removed[0].start if removed else end
    without = {number for lines_of in removed for number in lines_of}
    head = [line for number, line in enumerate(lines[:first]) if number not in without]
    tail = [line for number, line in enumerate(lines[first:], first) if number not in without]
    return "\n".join([*head, *_lines(changed, indent), *tail])


def _value(node: Any, name: str) -> Any:
    return next(value for key, value in node.value if key.value == name)


def _last_line(node: Any) -> int:
    """Return the number of the last line that belongs to a node. Its end mark may be on the line of the next node."""
    import yaml

    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return max(_last_line(part) for part in (last if isinstance(last, tuple) else (last,)))
    line = int(node.end_mark.line)
    return line - 1 if node.end_mark.column == 0 and line > node.start_mark.line else line


def _lines(settings: dict[Any, Any], indent: str) -> list[str]:
    """Return the settings as lines of YAML, with values in JSON. Booleans are written without quotes, as is usual."""
    return [
        f"{indent}{key}: {value if value in ('true', 'false') else json.dumps(value)}"
        for key, value in settings.items()
    ]
