# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out which NIC of the source has which configured name, as far as that can be known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.mac_addresses import mac_address

#: On VMware, the number is that of a PCI hotplug slot: 160, 192, 224, 256, then 161, 193 and so on.
_VMWARE_FIRST, _VMWARE_STEP, _VMWARE_ROUND = 160, 32, 4
#: Below, the number is that of a device behind a PCI bridge: 32, 33 and so on.
_BRIDGED = range(32, 64)
#: The PCI buses of those hotplug slots: 3, 11, 19, 27, then 4, 12 and so on.
_FIRST_BUS, _BUSES_OF_PORT = 3, 8
_OF_MAC = re.compile(r"enx([0-9a-f]{12})", re.ASCII)


@dataclass(frozen=True)
class Pin:
    """A name that a NIC keeps on KVM.

    :param why: how it is known that the name belongs to this NIC.
    """

    name: str
    mac: str
    why: str


@dataclass(frozen=True)
class Evidence:
    """What is known about the names of the source's NICs, apart from the configuration of the network.

    :param placed: the names that NICs had because of their places, by MAC address.
    :param alternative: other names that NICs have because of their places, and that configuration can name them by.
    :param traced: name and file by MAC address, from the guest's traces.
    :param weak: names that the guest mentions, so that one of its NICs is likely to have had them.
    :param by_itself: whether NICs get the names in ``placed`` on KVM, too, without a pin.
    """

    placed: Mapping[str, str] = field(default_factory=dict)
    traced: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    weak: Sequence[str] = ()
    by_itself: bool = False
    alternative: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Pairing:
    """The result of pairing names with NICs.

    :param pins: names of known NICs.
    :param by_order: those of the pins that are only guessed from the order of the NICs.
    :param by_itself: names that known NICs get without a pin, if they are in the right order.
    :param unknown: configured names whose NIC is unknown.
    :param stale: configured names for a MAC address that none of the source's NICs has.
    :param free: the MAC addresses of NICs whose name is unknown.
    """

    pins: list[Pin] = field(default_factory=list)
    by_order: list[Pin] = field(default_factory=list)
    by_itself: list[Pin] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)


def pair(
    configured: Mapping[str, str | None],
    pinned: Mapping[str, str | None],
    source: Sequence[str | None],
    matched: frozenset[str] = frozenset(),
    evidence: Evidence | None = None,
) -> Pairing:
    """Pair names with MAC addresses.

    :param configured: names, with the MAC address if the configuration states it.
    :param pinned: the MAC addresses of names that the guest already pins, by name.
    :param matched: the MAC addresses by which the guest configures NICs without a name.
    :param source: the MAC addresses of the source's NICs in order, or None for unknown ones.
    """
    evidence = evidence or Evidence()
    known = [mac for mac in source if mac is not None and source.count(mac) == 1]
    # A name can also belong to a NIC whose address is unknown or shared.
    work = _Work(known, pinned, evidence, clear=len(known) == len(source))
    left = work.take_stated(configured, pinned)
    for mac, (name, path) in evidence.traced.items():
        if work.is_free(mac) and name not in work.names:
            work.pin(name, mac, f"{path} in the guest tells both")
    for name, mac in (*_by_name(evidence.placed).items(), *_by_name(evidence.alternative).items()):
        if (name in left or name in evidence.weak) and work.is_free(mac) and mac not in matched:
            work.place(name, mac)
    left = [name for name in left if name not in work.names]
    if left and not work.by_elimination(left, [mac for mac in known if work.is_free(mac) and mac not in matched]):
        work.result.unknown += left
    for name, mac in _by_name(evidence.placed).items():
        if work.is_free(mac) and name not in work.names and name not in work.result.unknown:
            work.place(name, mac)
    weak = [name for name in evidence.weak if name not in work.names and name not in configured]
    work.by_elimination(weak, [mac for mac in known if work.is_free(mac)], "files of the guest mention it, and ")
    work.result.free = [mac for mac in known if work.is_free(mac)]
    return work.result


class _Work:
    """A pairing in the making."""

    def __init__(
        self, known: Sequence[str], pinned: Mapping[str, str | None], evidence: Evidence, *, clear: bool
    ) -> None:
        self.result = Pairing()
        self.names = {name for name, mac in pinned.items() if mac in known}
        self.taken = {mac for mac in pinned.values() if mac is not None}
        self._known, self._evidence, self._clear = known, evidence, clear

    def is_free(self, mac: str) -> bool:
        """Return whether a NIC of the source has no name yet."""
        return mac in self._known and mac not in self.taken

    def take_stated(self, configured: Mapping[str, str | None], pinned: Mapping[str, str | None]) -> list[str]:
        """Pair the names whose MAC address is stated, and return those for which none is."""
        left: list[str] = []
        stated = {name: mac or _address_in(name) for name, mac in configured.items()}
        for name, mac in stated.items():
            if name in pinned and pinned[name] in self._known:
                continue
            if mac is None or (mac not in self._known and configured[name] is None):
                left.append(name)
            elif mac not in self._known:
                self.result.stale.append(name)
            elif mac in self.taken or list(stated.values()).count(mac) > 1:
                # Another name is pinned to this address, or several names claim it. Which one is right is unknown.
                self.result.unknown.append(name)
            else:
                self.pin(name, mac, "the guest's configuration names both")
        return left

    def pin(self, name: str, mac: str, why: str) -> Pin:
        """Pair a name with a NIC."""
        pin = Pin(name, mac, why)
        self.result.pins.append(pin)
        self.names.add(name)
        self.taken.add(mac)
        return pin

    def place(self, name: str, mac: str) -> None:
        """Pair a NIC with the name that it had because of its place."""
        if self._evidence.by_itself:
            self.result.by_itself.append(Pin(name, mac, "it gets the name by itself"))
            self.names.add(name)
            self.taken.add(mac)
        else:
            self.pin(name, mac, "the source has the NIC in that PCI slot")

    def by_elimination(self, names: Sequence[str], free: Sequence[str], because: str = "") -> bool:
        """Pair names with NICs if there are as many of them, and return whether that was possible."""
        if not self._clear or not names or len(names) != len(free):
            return False
        if len(names) == 1:
            self.pin(names[0], free[0], f"{because}it is the only name and the only NIC left")
            return True
        ordered = in_order(names)
        for name, mac in zip(ordered or [], free, strict=False):
            self.result.by_order.append(
                self.pin(name, mac, f"{because}by the order of the names and of the source's NICs")
            )
        return ordered is not None


def _by_name(placed: Mapping[str, str]) -> dict[str, str]:
    """Return the MAC addresses by name, without names that several NICs would have."""
    names = list(placed.values())
    return {name: mac for mac, name in placed.items() if names.count(name) == 1}


def _address_in(name: str) -> str | None:
    """Return the MAC address that a name contains: enx005056010203. udev makes such names."""
    match = _OF_MAC.fullmatch(name)
    return mac_address(":".join(match[1][at : at + 2] for at in range(0, 12, 2))) if match else None


def in_order(names: Sequence[str]) -> list[str] | None:
    """Sort names in the order of the NICs in a VMware machine or in the kernel. Return None for other names."""
    found = {name: match for name in names if (match := _NUMBERED.fullmatch(name))}
    kinds = {match["kind"] for match in found.values()}
    if len(found) != len(names) or len(kinds) != 1:
        return None
    if any((match["device"] is None) is (kinds == {"enp"}) for match in found.values()):
        return None
    numbers = {name: int(match["number"]) for name, match in found.items()}
    devices = {name: int(match["device"] or 0) for name, match in found.items()}
    if kinds == {"ens"} and not all(number in _BRIDGED for number in numbers.values()):
        slots = {name: divmod(number - _VMWARE_FIRST, _VMWARE_STEP) for name, number in numbers.items()}
        if not all(0 <= place < _VMWARE_ROUND for place, _ in slots.values()):
            return None
        return sorted(names, key=lambda name: slots[name][::-1])
    if kinds == {"enp"} and not any(devices.values()) and min(numbers.values()) >= _FIRST_BUS:
        ports = {name: divmod(number - _FIRST_BUS, _BUSES_OF_PORT) for name, number in numbers.items()}
        return sorted(names, key=lambda name: ports[name][::-1])
    return sorted(names, key=lambda name: (numbers[name], devices[name]))


_NUMBERED = re.compile(r"(?P<kind>eth|ens|eno|enp)(?P<number>\d{1,8})(?:(?<=\d)s(?P<device>\d{1,3}))?", re.ASCII)
