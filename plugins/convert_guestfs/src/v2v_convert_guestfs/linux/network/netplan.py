# SPDX-License-Identifier: GPL-2.0-or-later
"""Read /etc/netplan/*.yaml."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from v2v_convert_guestfs.linux.network.names import Reading, mac_address, reading

#: Bytes; reading YAML takes some seconds for a megabyte.
LIMIT = 64 * 1024
#: Mappings in mappings; netplan's own go to about ten. The time that yaml takes grows with the square.
_DEPTH = 40


def netplan(data: bytes) -> Reading:
    """Find the ids of ``ethernets:`` that are names; one with a MAC address in its ``match:`` keeps itself its name.

    netplan's own generator writes a link file for those at every boot.
    """
    document = load(data)
    network = document.get("network") if isinstance(document, dict) else None
    if not isinstance(network, dict):
        return Reading()
    nics: list[tuple[str, str | None]] = []
    notes = []
    matched = set()
    for name, settings in entries(network, "ethernets"):
        match = settings.get("match")
        if not isinstance(match, dict) or not match:
            nics.append((name, None))
        elif (mac := mac_address(_text(match.get("macaddress")))) is not None:
            matched.add(mac)
        elif "driver" in match:
            notes.append(f"{name} is found by its driver ({_printable(match['driver'])})")
        elif (wanted := _text(match.get("name"))) is not None:
            nics.append((wanted, None))
    virtual = [
        name
        for kind in ("bridges", "bonds", "vlans", "tunnels", "dummy-devices", "vrfs")
        for name, _ in entries(network, kind)
    ]
    return replace(reading(nics, virtual, notes), matched=frozenset(matched))


def load(data: bytes) -> Any:
    """Read strings, lists and mappings, and nothing else; what is no such YAML is None.

    Aliases, with which small files get huge, are refused, and so is a depth with which they take minutes.
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
        # Makes nothing but strings of scalars, whatever tag they have.
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def entries(network: dict[Any, Any], kind: str) -> list[tuple[str, dict[Any, Any]]]:
    """List the names and settings below a key of ``network:``."""
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
