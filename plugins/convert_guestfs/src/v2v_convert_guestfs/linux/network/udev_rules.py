# SPDX-License-Identifier: GPL-2.0-or-later
"""Read udev rules that name NICs, mainly 70-persistent-net.rules."""

from __future__ import annotations

import re
from dataclasses import replace

from v2v_convert_guestfs.linux.network.names import Reading, nic_name, reading
from v2v_convert_guestfs.mac_addresses import mac_address

_ADDRESS = re.compile(r"(?:ATTR|ATTRS|SYSFS)\{address\}==\"([^\"]*)\"", re.ASCII)
_NAME = re.compile(r"(?<![A-Za-z_}])NAME:?=\"([^\"]*)\"", re.ASCII)
_NET = re.compile(r"SUBSYSTEMS?==\"net\"", re.ASCII)
_PLACE = re.compile(r"(KERNELS|DRIVERS|ENV\{ID_PATH\}|ATTRS\{[a-z_/]{1,40}\})==\"([^\"?*][^\"]*)\"", re.ASCII)

_PCI = re.compile(
    r"(?:KERNELS==\"|ID_PATH\}==\"pci-|^pci-)([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])(?:\"|$)", re.ASCII
)


def rules(data: bytes) -> Reading:
    """Return the names that rules assign by MAC address, which work on KVM. Add notes on rules by place or driver."""
    nics: list[tuple[str, str | None]] = []
    notes = []
    places: dict[str, str] = {}
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
            if where := pci_address(line):
                places[where] = name
    return replace(reading(nics, (), notes), places=places)


def pci_address(text: str) -> str | None:
    """Return the PCI address (``0000:0b:00.0``) of a match by place, in a rule or as Path= of a .link file."""
    match = _PCI.search(text)
    return match[1] if match else None
