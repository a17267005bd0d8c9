# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out which of the source's NICs each adapter in the registry was, as far as that can be known.

In the order of certainty: by the MAC address of the hardware, by the PCI slot, because only one of each is left, and by
the order of the slots, which is a guess that the user is told of. Adapters that are left were removed long ago, or it
is not known what they are: they never get a NIC that could be another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.vmware_slots import order_of_place
from v2v_convert_guestfs.windows.network.adapters import Adapter
from v2v_core.api import Nic


@dataclass(frozen=True)
class Pair:
    """An adapter and the NIC that it was.

    :param position: of the NIC at the source, from 0. :param mac: that the NIC has at the target.
    :param why: how it is known. :param guessed: it is not known, only likely.
    """

    adapter: Adapter
    position: int
    mac: str
    why: str
    guessed: bool = False


@dataclass
class Pairing:
    """The result.

    :param unknown: adapters that may be one of the NICs that are left. :param gone: those that are none of them.
    :param free: positions of NICs for which no adapter was found.
    :param macs: addresses that the guest remembers, by the position of NICs for which the source states none.
    """

    pairs: list[Pair] = field(default_factory=list)
    unknown: list[Adapter] = field(default_factory=list)
    gone: list[Adapter] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    macs: dict[int, str] = field(default_factory=dict)


def pair(adapters: Sequence[Adapter], nics: Sequence[Nic]) -> Pairing:
    """Pair adapters of the machine with the NICs of the source."""
    work = _Work(adapters, nics)
    work.by_mac()
    work.by_slot()
    work.by_elimination()
    result = work.result
    result.free = sorted(work.free)
    left = [adapter for adapter in adapters if adapter in work.left]
    result.unknown = [adapter for adapter in left if work.candidates([adapter])]
    result.gone = [adapter for adapter in left if adapter not in result.unknown]
    return result


class _Work:
    """A pairing in the making."""

    def __init__(self, adapters: Sequence[Adapter], nics: Sequence[Nic]) -> None:
        self.result = Pairing()
        self.left = list(adapters)
        self.free = list(range(len(nics)))
        self._nics = nics
        self._stated = [None if nic.mac_is_new else mac_address(nic.mac) for nic in nics]

    def by_mac(self) -> None:
        """Pair by the MAC addresses of the hardware."""
        for position in list(self.free):
            mac = self._stated[position]
            if mac is None or self._stated.count(mac) > 1:
                continue
            same = [adapter for adapter in self.left if adapter.mac == mac]
            # A NIC that was moved to another slot, or replaced by another model, leaves an adapter with its address
            if len(same) > 1:
                same = [adapter for adapter in same if self._in_slot(adapter, position)] or same
            if len(same) > 1:
                same = [adapter for adapter in same if adapter.can_be(self._nics[position])]
            if len(same) == 1:
                self._pair(same[0], position, "Windows remembers its MAC address")

    def by_slot(self) -> None:
        """Pair by the PCI slots that the source states."""
        for position in list(self.free):
            there = [one for one in self.left if self._in_slot(one, position) and one.can_be(self._nics[position])]
            slots = [nic.pci_slot for nic in self._nics]
            if len(there) == 1 and slots.count(self._nics[position].pci_slot) == 1:
                self._pair(there[0], position, "Windows remembers its PCI slot")

    def by_elimination(self) -> None:
        """Pair what is left, if there are as many adapters as NICs."""
        candidates = self.candidates(self.left)
        if not candidates or len(candidates) != len(self.free):
            return
        if len(candidates) == 1:
            if candidates[0].can_be(self._nics[self.free[0]]):
                self._pair(candidates[0], self.free[0], "it is the only NIC left")
            return
        places = [adapter.place for adapter in candidates]
        if None in places or len(set(places)) < len(places):
            return
        ordered = sorted(candidates, key=lambda adapter: order_of_place(*(adapter.place or (0, 0))))
        pairs = list(zip(ordered, list(self.free), strict=True))
        if all(adapter.can_be(self._nics[position]) for adapter, position in pairs):
            for adapter, position in pairs:
                self._pair(adapter, position, "by the order of the PCI slots", guessed=True)

    def candidates(self, adapters: Sequence[Adapter]) -> list[Adapter]:
        """Return those of the adapters that one of the NICs left can have been.

        An adapter with a known MAC address was no NIC for which the source states another one.
        """
        return [
            adapter
            for adapter in adapters
            if any(
                adapter.can_be(self._nics[position])
                and (adapter.mac is None or self._stated[position] is None or adapter.mac == self._stated[position])
                for position in self.free
            )
        ]

    def _in_slot(self, adapter: Adapter, position: int) -> bool:
        slot = self._nics[position].pci_slot
        return slot is not None and adapter.is_in_slot(slot)

    def _pair(self, adapter: Adapter, position: int, why: str, *, guessed: bool = False) -> None:
        self.left.remove(adapter)
        self.free.remove(position)
        mac = self._stated[position]
        if mac is None and adapter.mac is not None and adapter.mac not in self._stated:
            mac = self.result.macs[position] = adapter.mac
        mac = mac or mac_address(self._nics[position].mac)
        if mac is not None:
            self.result.pairs.append(Pair(adapter, position, mac, why, guessed))
