# SPDX-License-Identifier: GPL-2.0-or-later
"""Names and MAC addresses of interfaces in configuration files.

They are validated here, so that only valid ones become part of a file or path that the conversion writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

#: The kernel's IFNAMSIZ is 16, including the final zero. A name with a colon is an alias, one with a dot a VLAN.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,15}", re.ASCII)
_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!^-]{1,40}", re.ASCII)
#: Beginnings of the names of virtual interfaces, and of hardware that virtual machines do not have, such as radio.
_NO_NIC = re.compile(
    r"(?:lo|br|bond|team|vlan|dummy|docker|virbr|lxcbr|lxdbr|veth|vnet|tun|tap|ppp|sit|wg|gre|ip6|vxlan|macv|ipvlan"
    r"|ovs|vmbr|wlan|wlp|wlx|wwan|ww|ib|can|usb)(?:[-_0-9].*)?",
    re.ASCII,
)
#: Beginnings of patterns for such interfaces.
_NO_NIC_PATTERN = re.compile(
    r"(?:wl|ww|sl|ib|usb|can|br|bond|team|vlan|dummy|docker|veth|ve-|vb-|vz-|mv-|iv-|vnet|virbr|vmbr|lxc|lxd|tun|tap|ppp"
    r"|wg|gre|ip6|sit|vxlan|macv|ipvlan|ovs|vrf|host|cali|cni|flannel|cilium|kube|podman|tailscale|zt)",
    re.ASCII,
)


@dataclass(frozen=True)
class Reading:
    """The interfaces in a configuration file.

    :param nics: the configured names, with the MAC address if the file states it.
    :param matched: MAC addresses by which it configures NICs, whatever their names. So no other name is theirs.
    :param virtual: names of bridges, bonds, VLANs and other interfaces that are not NICs.
    :param notes: descriptions of settings that depend on the old hardware and cannot be kept.
    :param patterns: alternatives, of which one must match a NIC's name: they have wildcards, such as ``ens*``, or are
        several names, which may be those of several NICs.
    :param places: names that rules give to the NIC in a place of the source, by PCI address (``0000:0b:00.0``).
    :param named: names that the guest itself gives to NICs at every boot, by MAC address, without a rule of udev.
    """

    nics: Mapping[str, str | None] = field(default_factory=dict)
    matched: frozenset[str] = frozenset()
    virtual: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    patterns: tuple[tuple[str, ...], ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    named: Mapping[str, str] = field(default_factory=dict)


def nic_name(text: str) -> str | None:
    """Return the text if it can be the name of a NIC, or None."""
    return text if _NAME.fullmatch(text) and not _NO_NIC.fullmatch(text) else None


def has_wildcard(text: str) -> bool:
    """Return whether a text is a pattern for names of NICs, and can match one."""
    return bool(set(text) & set("*?[")) and bool(_PATTERN.fullmatch(text)) and not _NO_NIC_PATTERN.match(text)


def without_alternatives(configured: Reading, nics: int) -> Reading:
    """Tell names of several NICs from names of which one is expected to exist, because the machine has fewer NICs.

    Files that are made for machines of any kind list the usual names of all of them.
    """
    several = [words for words in configured.patterns if not any(map(has_wildcard, words))]
    spare = {name for words in several if len(words) > nics for name in words}
    return replace(
        configured,
        nics={name: mac for name, mac in configured.nics.items() if mac is not None or name not in spare},
        patterns=tuple(words for words in configured.patterns if words not in several or len(words) > nics),
    )


def reading(
    nics: Iterable[tuple[str, str | None]],
    virtual: Iterable[str] = (),
    notes: Iterable[str] = (),
    patterns: Iterable[tuple[str, ...]] = (),
) -> Reading:
    """Return a Reading with those of the names that can be NICs. A name keeps its first known MAC address."""
    valid: dict[str, str | None] = {}
    for text, mac in nics:
        # VLANs and aliases contain the name of their NIC: eth0.7, eth0:1.
        name = nic_name(re.split(r"[.:]", text, maxsplit=1)[0])
        if name is not None:
            valid[name] = valid.get(name) or mac
    return Reading(valid, frozenset(), frozenset(virtual), tuple(notes), tuple(patterns))


def merged(readings: Iterable[Reading]) -> Reading:
    """Merge readings. A name that is virtual in one file is not a NIC, even if other files list it."""
    nics: dict[str, str | None] = {}
    matched: set[str] = set()
    virtual: set[str] = set()
    notes: dict[str, None] = {}
    patterns: dict[tuple[str, ...], None] = {}
    named: dict[str, str] = {}
    for one in readings:
        for name, mac in one.nics.items():
            nics[name] = nics.get(name) or mac
        matched |= one.matched
        virtual |= one.virtual
        notes.update(dict.fromkeys(one.notes))
        patterns.update(dict.fromkeys(one.patterns))
        named |= one.named
    kept = {name: mac for name, mac in nics.items() if name not in virtual}
    return Reading(kept, frozenset(matched), frozenset(virtual), tuple(notes), tuple(patterns), named=named)
