# SPDX-License-Identifier: GPL-2.0-or-later
"""Read udev rules that name NICs, mainly 70-persistent-net.rules."""

from __future__ import annotations

import re

from v2v_convert_guestfs.linux.network.names import Reading, mac_address, nic_name, reading

_ADDRESS = re.compile(r"(?:ATTR|ATTRS|SYSFS)\{address\}==\"([^\"]*)\"", re.ASCII)
_NAME = re.compile(r"(?<![A-Za-z_}])NAME:?=\"([^\"]*)\"", re.ASCII)
_NET = re.compile(r"SUBSYSTEMS?==\"net\"", re.ASCII)
_PLACE = re.compile(r"(KERNELS|DRIVERS|ENV\{ID_PATH\}|ATTRS\{[a-z_/]{1,40}\})==\"([^\"?*][^\"]*)\"", re.ASCII)


def rules(data: bytes) -> Reading:
    """Return the names that rules assign by MAC address, which work on KVM. Add notes on rules by place or driver."""
    nics: list[tuple[str, str | None]] = []
    notes = []
    for line in re.sub(r"\\\r?\n", " ", data.decode("latin-1")).split("\n"):
        named = _NAME.search(line)
        if line.lstrip().startswith("#") or named is None or not _NET.search(line):
            continue
        name = nic_name(named[1])
        if name is None:
            continue
        address = _ADDRESS.search(line)
        mac = mac_address(address[1]) if address else None
        if mac is not None:
            nics.append((name, mac))
        elif place := _PLACE.search(line):
            notes.append(f"{name} is matched by {place[1]}=={ascii(place[2])[:60]}")
    return reading(nics, (), notes)
