# SPDX-License-Identifier: GPL-2.0-or-later
"""Read /etc/network/interfaces of Debian's ifupdown. The format is specified in interfaces(5)."""

from __future__ import annotations

import re

from v2v_convert_guestfs.linux.network.names import Reading, has_wildcard, reading

_PORTS = frozenset(
    {"bridge-ports", "bond-slaves", "slaves", "vlan-raw-device", "bond-primary", "ovs-ports", "ovs-bonds"}
)
_MAKES_VIRTUAL = ("bridge-", "bond-", "vlan-", "ovs-", "vxlan-", "tunnel-", "wireguard-")


def interfaces(data: bytes) -> Reading:
    """Return the names that ``auto``, ``allow-…`` and ``iface`` configure, and ports of bridges, bonds and VLANs."""
    names: list[str] = []
    patterns: list[str] = []
    virtual: set[str] = set()
    current = ""
    for line in re.sub(r"\\\r?\n", " ", data.decode("latin-1")).split("\n"):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        keyword = words[0].replace("_", "-")
        if keyword == "iface":
            current = words[1] if len(words) > 1 else ""
            names.append(current)
        elif keyword == "auto" or keyword.startswith("allow-"):
            current = ""
            for word in words[1:]:
                # The name behind "=" is one that only iface uses. Patterns are /ens*, or /ens*/1 for the first NIC that
                # matches; those of ifupdown2 are without the slash: swp[1-4].
                physical, _, logical = word.partition("=")
                virtual.update(filter(None, [logical]))
                if has_wildcard(pattern := physical.removeprefix("/").partition("/")[0]):
                    patterns.append(pattern)
                else:
                    names.append(physical)
        elif keyword in {"mapping", "source", "source-directory", "rename", "template"}:
            current = ""
        elif current and keyword.startswith(("bond-master", "bond-primary")):
            # bond-master is an option of the port, the other options are those of the bond.
            names += words[1:] if keyword == "bond-primary" else []
        elif current and (keyword in _PORTS or keyword.startswith(_MAKES_VIRTUAL)):
            if "." not in current:
                virtual.add(current)
            names += [word for word in words[1:] if keyword in _PORTS and word not in {"none", "all", "regex"}]
    globs = [(pattern,) for pattern in dict.fromkeys(patterns)]
    return reading(((name, None) for name in names), virtual, (), globs)
