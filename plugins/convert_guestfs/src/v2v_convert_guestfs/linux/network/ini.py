# SPDX-License-Identifier: GPL-2.0-or-later
"""Read files with [Sections] and Key=value: NetworkManager's keyfiles, systemd's .network, .netdev and .link."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.linux.network.names import Reading, has_wildcard, nic_name, reading
from v2v_convert_guestfs.mac_addresses import mac_address

#: The types of Ethernet connections in keyfiles.
ETHERNET = frozenset({"ethernet", "802-3-ethernet"})
#: Keys of [Match] that name a place or a kind of hardware which does not exist on KVM.
_HARDWARE = ("Path", "Driver", "OriginalName", "Property")


@dataclass(frozen=True)
class Link:
    """A .link file.

    :param macs: the MAC addresses that it matches. :param name: the name that it assigns, or None.
    :param by_hardware: whether it matches by properties of the old hardware.
    """

    macs: tuple[str, ...] = ()
    name: str | None = None
    by_hardware: bool = False


def keyfile(data: bytes) -> Reading:
    """Read a NetworkManager keyfile: the names and the MAC address that an Ethernet connection is for."""
    parsed = sections(data)
    connection = parsed.get("connection", {})
    name = connection.get("interface-name", "")
    kind = connection.get("type", "ethernet")
    if kind in ETHERNET:
        ethernet = parsed.get("ethernet", {}) | parsed.get("802-3-ethernet", {})
        mac = mac_address(ethernet.get("mac-address"))
        match = parsed.get("match", {})
        notes = [f"it matches by {key}" for key in ("path", "driver") if match.get(key)]
        if mac and not name:
            return Reading(matched=frozenset({mac}), notes=tuple(notes))
        if name:
            return reading([(name, mac)], (), notes)
        # A word is an alternative, with "&" a condition, and with "!" an exclusion.
        words = re.split(r"[;,\s]+", match.get("interface-name", ""))
        wanted = [word.lstrip("|&") for word in words if word and not word.lstrip("|&").startswith("!")]
        return _alternatives(wanted, None, notes)
    parent = parsed.get("vlan", {}).get("parent", "")
    return reading([(parent, None)] if parent else [], [name] if name else [])


def network(data: bytes) -> Reading:
    """Read a systemd .network file: the names without globs in its [Match], and the MAC address."""
    match = sections(data).get("Match", {})
    macs = macs_of(match)
    words = match.get("Name", "").split()
    # With "!" before the first one, the file is for all other names.
    words = [] if words and words[0].startswith("!") else words
    names = [name for name in words if nic_name(name)]
    # These are not NICs, but bridges, WLANs and the like.
    if match.get("Kind") or match.get("Type", "ether") != "ether":
        return reading([], names)
    if macs and not match.get("Name"):
        return Reading(matched=frozenset(macs))
    notes = [f"it matches by {key}=" for key in ("Path", "Driver") if match.get(key)]
    return _alternatives(words, macs[0] if len(macs) == 1 and len(words) == 1 else None, notes)


def _alternatives(words: Sequence[str], mac: str | None, notes: Sequence[str] = ()) -> Reading:
    """Return the literal names, and all words as one pattern if there are several or some have wildcards."""
    wanted = tuple(word for word in words if nic_name(word) or has_wildcard(word))
    if any(map(has_wildcard, wanted)):
        # The names beside a wildcard are those of other machines that the file was written for, too.
        return reading([], (), notes, [wanted])
    return reading([(word, mac) for word in wanted], (), notes, [wanted] if len(wanted) > 1 else [])


def netdev(data: bytes) -> Reading:
    """Read a systemd .netdev file: the name of the virtual interface that it creates."""
    name = sections(data).get("NetDev", {}).get("Name", "")
    return reading([], [name] if name else [])


def link(data: bytes) -> Link:
    """Read a systemd .link file."""
    parsed = sections(data)
    match = parsed.get("Match", {})
    return Link(
        macs_of(match),
        nic_name(parsed.get("Link", {}).get("Name", "")),
        any(match.get(key, "*") != "*" for key in _HARDWARE),
    )


def macs_of(match: Mapping[str, str]) -> tuple[str, ...]:
    """Return the MAC addresses in a [Match] section."""
    words = f"{match.get('MACAddress', '')} {match.get('PermanentMACAddress', '')}".split()
    return tuple(dict.fromkeys(mac for word in words if (mac := mac_address(word))))


def sections(data: bytes) -> dict[str, dict[str, str]]:
    """Return the last value of each key, by section. Sections with the same name are merged."""
    parsed: dict[str, dict[str, str]] = {}
    section: dict[str, str] = {}
    for line in data.decode("latin-1").split("\n"):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        if header := re.fullmatch(r"\[([^\[\]]{1,80})\]", text):
            section = parsed.setdefault(header[1], {})
        else:
            key, equals, value = text.partition("=")
            if equals:
                section[key.strip()] = value.strip()
    return parsed
