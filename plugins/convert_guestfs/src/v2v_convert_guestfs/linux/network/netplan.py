# SPDX-License-Identifier: GPL-2.0-or-later
"""Read /etc/netplan/*.yaml. The format is specified in netplan(5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from v2v_convert_guestfs.linux.network.names import Reading, has_wildcard, nic_name, reading
from v2v_convert_guestfs.mac_addresses import mac_address

#: Bytes. Parsing a megabyte of YAML takes some seconds.
LIMIT = 64 * 1024
#: The deepest nesting of collections. netplan's own is about ten; parsing time grows with the square of the depth.
_DEPTH = 40


def netplan(data: bytes) -> Reading:
    """Return the names in ``ethernets:``.

    An entry with a MAC address in its ``match:`` needs no name: netplan's generator writes a link file for it at every
    boot.
    """
    document = load(data)
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict):
        return Reading()
    nics: list[tuple[str, str | None]] = []
    notes = []
    matched = set()
    named: dict[str, str] = {}
    patterns = []
    for entry, settings in entries(network, "ethernets"):
        match = settings.get("match")
        if not isinstance(match, dict) or not match:
            nics.append((entry, None))
        elif (mac := mac_address(_text(match.get("macaddress")))) is not None:
            matched.add(mac)
            if name := nic_name(_text(settings.get("set-name")) or ""):
                named[mac] = name
        elif "driver" in match:
            notes.append(f"{entry} is matched by its driver ({_printable(match['driver'])})")
        elif (wanted := _text(match.get("name"))) is not None:
            if has_wildcard(wanted):
                patterns.append((wanted,))
            else:
                nics.append((wanted, None))
    virtual = [
        name
        for kind in ("bridges", "bonds", "vlans", "tunnels", "dummy-devices", "vrfs")
        for name, _ in entries(network, kind)
    ]
    return replace(reading(nics, virtual, notes, patterns), matched=frozenset(matched), named=named)


def load(data: bytes) -> Any:
    """Return the strings, lists and mappings of a YAML document, or None if it is anything else.

    Documents with aliases are refused, because a small one can become huge. So are deeply nested ones, because parsing
    them takes minutes.
    """
    import yaml

    if len(data) > LIMIT:
        return None
    try:
        text = data.decode("utf-8")
        depth = 0
        for event in yaml.parse(text, Loader=yaml.BaseLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if isinstance(event, yaml.AliasEvent) or depth > _DEPTH:
                return None
        # BaseLoader returns every scalar as a string, whatever its tag.
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def entries(network: dict[Any, Any], kind: str) -> list[tuple[str, dict[Any, Any]]]:
    """Return the names and settings below a key of ``network:``."""
    section = network.get(kind)
    if not isinstance(section, dict):
        return []
    return [
        (name, settings if isinstance(settings, dict) else {})
        for name, settings in section.items()
        if isinstance(name, str) and name != "renderer"
    ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _printable(value: object) -> str:
    return ascii(value).strip("'")[:60]
