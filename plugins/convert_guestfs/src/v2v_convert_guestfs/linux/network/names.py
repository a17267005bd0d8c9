# SPDX-License-Identifier: GPL-2.0-or-later
"""Names and MAC addresses of interfaces, as configuration states them; nothing else becomes part of a file or path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

#: The kernel's IFNAMSIZ is 16 with the final zero. A colon makes an alias (eth0:1), a dot a VLAN: neither is a NIC.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,15}", re.ASCII)
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}", re.ASCII)
#: What these names begin with is made by software, or is radio, which no virtual machine has.
_NO_NIC = re.compile(
    r"(?:lo|br|bond|team|vlan|dummy|docker|virbr|lxcbr|lxdbr|veth|vnet|tun|tap|ppp|sit|wg|gre|ip6|vxlan|macv|ipvlan"
    r"|ovs|vmbr|wlan|wlp|wlx|wwan|ww|ib|can|usb)(?:[-_0-9].*)?",
    re.ASCII,
)


@dataclass(frozen=True)
class Reading:
    """What a configuration file says about interfaces.

    :param nics: the names that it configures, with the MAC address where it says which one that is.
    :param matched: MAC addresses by which it finds NICs whatever their names are: those are spoken for.
    :param virtual: names of bridges, bonds, VLANs and the like, which this or another file may seem to configure.
    :param notes: what ties it to the old hardware in a way that cannot be kept.
    """

    nics: Mapping[str, str | None] = field(default_factory=dict)
    matched: frozenset[str] = frozenset()
    virtual: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def nic_name(text: str) -> str | None:
    """Give the name if it can be that of a NIC, or None."""
    return text if _NAME.fullmatch(text) and not _NO_NIC.fullmatch(text) else None


def mac_address(text: str | None) -> str | None:
    """Give the MAC address in small letters and with colons if it can be that of one NIC, or None."""
    mac = (text or "").strip().strip("\"'").lower().replace("-", ":")
    if not _MAC.fullmatch(mac) or mac == "00:00:00:00:00:00" or int(mac[:2], 16) & 1:
        return None
    return mac


def reading(nics: Iterable[tuple[str, str | None]], virtual: Iterable[str] = (), notes: Iterable[str] = ()) -> Reading:
    """Make a record of what was found: only what can be a name of a NIC, the MAC address kept if it is said once."""
    found: dict[str, str | None] = {}
    for text, mac in nics:
        # A VLAN is made of a NIC, and an alias is one: eth0.7, eth0:1.
        name = nic_name(re.split(r"[.:]", text, maxsplit=1)[0])
        if name is not None:
            found[name] = found.get(name) or mac
    return Reading(found, frozenset(), frozenset(virtual), tuple(notes))


def merged(readings: Iterable[Reading]) -> Reading:
    """Make one of many; what one file says is a bridge is no NIC because of another."""
    nics: dict[str, str | None] = {}
    matched: set[str] = set()
    virtual: set[str] = set()
    notes: dict[str, None] = {}
    for one in readings:
        for name, mac in one.nics.items():
            nics[name] = nics.get(name) or mac
        matched |= one.matched
        virtual |= one.virtual
        notes.update(dict.fromkeys(one.notes))
    kept = {name: mac for name, mac in nics.items() if name not in virtual}
    return Reading(kept, frozenset(matched), frozenset(virtual), tuple(notes))
