# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out which NIC of the source has which configured name, as far as that can be known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

#: On VMware, the number is that of a PCI hotplug slot: 160, 192, 224, 256, then 161, 193 and so on.
_VMWARE_FIRST, _VMWARE_STEP, _VMWARE_ROUND = 160, 32, 4
#: VMware's pciSlotNumber has bus and device in its lower bits, and the function of the device above them. Its firmware
#: gives the kernel their sum as the number of the slot: 160 is ens160, and 1184 is ens161.
_VMWARE_FUNCTION = 1024


@dataclass(frozen=True)
class Pin:
    """A name that a NIC keeps on KVM.

    :param why: how it is known that the name belongs to this NIC.
    """

    name: str
    mac: str
    why: str


@dataclass
class Pairing:
    """The result of pairing names with NICs.

    :param pins: names of known NICs.
    :param by_order: those of the pins that are only guessed from the order of the NICs.
    :param unknown: configured names whose NIC is unknown.
    :param stale: configured names for a MAC address that none of the source's NICs has.
    """

    pins: list[Pin] = field(default_factory=list)
    by_order: list[Pin] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)


def pair(
    configured: Mapping[str, str | None],
    pinned: Mapping[str, str | None],
    source: Sequence[str | None],
    matched: frozenset[str] = frozenset(),
    slots: Mapping[str, int] | None = None,
) -> Pairing:
    """Pair names with MAC addresses.

    :param configured: names, with the MAC address if the configuration states it.
    :param pinned: the MAC addresses of names that the guest already pins, by name.
    :param matched: the MAC addresses by which the guest configures NICs without a name.
    :param source: the MAC addresses of the source's NICs in order, or None for unknown ones.
    :param slots: the PCI slots of the source's NICs by MAC address, where they are known.
    """
    result = Pairing()
    known = [mac for mac in source if mac is not None and source.count(mac) == 1]
    taken = {mac for mac in pinned.values() if mac is not None}
    left: list[str] = []
    stated = [mac for mac in configured.values() if mac is not None]
    for name, mac in configured.items():
        if name in pinned and pinned[name] in known:
            continue
        if mac is None:
            left.append(name)
        elif mac not in known:
            result.stale.append(name)
        elif mac in taken or stated.count(mac) > 1:
            # Another name is pinned to this address, or several names claim it. Which one is right is unknown.
            result.unknown.append(name)
        else:
            taken.add(mac)
            result.pins.append(Pin(name, mac, "the guest's configuration names both"))
    for name, mac in _named_by_slot(slots or {}).items():
        if name in left and mac in known and mac not in taken | matched:
            left.remove(name)
            taken.add(mac)
            result.pins.append(Pin(name, mac, "the source has the NIC in that PCI slot"))
    free = [mac for mac in known if mac not in taken | matched]
    # A name can also belong to a NIC whose address is unknown or shared.
    clear = len(known) == len(source)
    if clear and len(left) == len(free) == 1:
        result.pins.append(Pin(left[0], free[0], "it is the only name and the only NIC left"))
    elif clear and left and len(left) == len(free) and (ordered := in_order(left)):
        result.by_order = [
            Pin(name, mac, "by the order of the names and of the source's NICs")
            for name, mac in zip(ordered, free, strict=True)
        ]
        result.pins += result.by_order
    else:
        result.unknown += left
    return result


def _named_by_slot(slots: Mapping[str, int]) -> dict[str, str]:
    """Return the MAC addresses of NICs by the names that the kernel takes from their slots on VMware."""
    names = {mac: f"ens{slot % _VMWARE_FUNCTION + slot // _VMWARE_FUNCTION}" for mac, slot in slots.items()}
    given = list(names.values())
    return {name: mac for mac, name in names.items() if given.count(name) == 1}


def in_order(names: Sequence[str]) -> list[str] | None:
    """Sort names in the order of the NICs in a VMware machine or in the kernel. Return None for other names."""
    numbers = {name: (match[1], int(match[2])) for name in names if (match := _NUMBERED.fullmatch(name))}
    if len(numbers) != len(names):
        return None
    if all(kind == "eth" for kind, _ in numbers.values()):
        return sorted(names, key=lambda name: numbers[name])
    slots = {
        name: divmod(number - _VMWARE_FIRST, _VMWARE_STEP) for name, (kind, number) in numbers.items() if kind == "ens"
    }
    if len(slots) == len(names) and all(0 <= place < _VMWARE_ROUND for place, _ in slots.values()):
        return sorted(names, key=lambda name: slots[name][::-1])
    return None


_NUMBERED = re.compile(r"(eth|ens)(\d{1,5})", re.ASCII)
