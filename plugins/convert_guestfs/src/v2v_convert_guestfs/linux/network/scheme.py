# SPDX-License-Identifier: GPL-2.0-or-later
"""How the guest comes to the names of its NICs: by the kernel's numbers, or by the places of the NICs.

A name by place is known where the source states the PCI slots.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network.command_lines import command_lines
from v2v_convert_guestfs.linux.network.contents import is_masked
from v2v_convert_guestfs.linux.network.ini import macs_of
from v2v_convert_guestfs.linux.network.link_settings import LinkFile
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.vmware_slots import pci_place, slot_number
from v2v_core.api import Nic

_LINKS = "/etc/systemd/network"
_SETUP_LINK = "80-net-setup-link.rules"
_GENERATOR = "75-persistent-net-generator.rules"
_ALL = frozenset({"*", "e*", "en*", "eth*"})
_OF_PLACES = re.compile(r"en[ops]?(?:\d|[*+])", re.ASCII)


class Scheme(StrEnum):
    """What the guest's udev names NICs by."""

    KERNEL = "the kernel's numbers"
    SLOT = "slots"
    PATH = "paths"
    MAC = "MAC addresses"

    @property
    def other(self) -> Scheme | None:
        """Return the scheme of the names that a NIC has besides its own (``altname``), by slots or by paths."""
        return {Scheme.SLOT: Scheme.PATH, Scheme.PATH: Scheme.SLOT}.get(self)


@dataclass(frozen=True)
class Naming:
    """How the guest comes to the names of NICs for which it has no rule.

    :param by_itself: whether NICs get these names on KVM, too, without a pin. :param reads_links: whether udev reads
        .link files.
    """

    scheme: Scheme
    by_itself: bool
    reads_links: bool


def naming_of(session: Session, files: GuestFiles, links: Sequence[LinkFile]) -> Naming:
    """Return how the guest comes to the names of its NICs."""
    reads = reads_links(session, files)
    if kernel_names(session, files):
        return Naming(Scheme.KERNEL, True, reads)
    scheme = _by_policy(links) if reads else Scheme.KERNEL
    return Naming(scheme, reads and scheme in {Scheme.KERNEL, Scheme.MAC}, reads)


def _by_policy(links: Sequence[LinkFile]) -> Scheme:
    """Return the scheme of the first .link file that is for all NICs; without one, that of udev."""
    for link in links:
        match = link.section("Match")
        if macs_of(match) or set(match) - {"OriginalName"} or not set(match.get("OriginalName", "*").split()) & _ALL:
            continue
        policy = link.section("Link").get("NamePolicy", "").split()
        found = next((word for word in policy if word in {"slot", "path", "mac"}), "")
        return {"slot": Scheme.SLOT, "path": Scheme.PATH, "mac": Scheme.MAC}.get(found, Scheme.KERNEL)
    return Scheme.SLOT


def kernel_names(session: Session, files: GuestFiles) -> bool:
    """Return whether the administrator has decided that NICs keep the names that the kernel assigns: eth0, eth1."""
    if is_masked(session, f"/etc/udev/rules.d/{_SETUP_LINK}") or is_masked(session, f"{_LINKS}/99-default.link"):
        return True
    lines = command_lines(files)
    return bool(lines) and all("net.ifnames=0" in line.split() for line in lines)


def reads_links(session: Session, files: GuestFiles) -> bool:
    """Return whether the guest's udev reads link files: it has the rule for them, and not the old rule generator."""
    if is_masked(session, f"/etc/udev/rules.d/{_SETUP_LINK}"):
        return False
    rules = [
        files.glob(f"{root}/udev/rules.d/{name}") for name in (_SETUP_LINK, _GENERATOR) for root in ("/lib", "/usr/lib")
    ]
    return any(rules[:2]) and not any(rules[2:])


def is_of(name: str, scheme: Scheme) -> bool:
    """Return whether a NIC can have a name, or one that it is a pattern for, if the guest names NICs by a scheme.

    Other names are those of examples, of other machines, and of the time before the scheme.
    """
    return not _OF_PLACES.match(name) if scheme is Scheme.KERNEL else not name.startswith("eth")


def names_by_slot(scheme: Scheme, nics: Sequence[Nic]) -> dict[int, str]:
    """Return the names that the guest gave to NICs because of their PCI slots, by the position of the NIC.

    The kernel's numbers are known only if all slots are, and if one driver found all NICs.
    """
    slots = {position: nic.pci_slot for position, nic in enumerate(nics) if nic.pci_slot is not None}
    if len(set(slots.values())) < len(slots):
        # Two NICs cannot be in one slot.
        slots = {place: slot for place, slot in slots.items() if list(slots.values()).count(slot) == 1}
    if scheme is Scheme.MAC:
        return {}
    if scheme is Scheme.KERNEL:
        if len(slots) < len(nics) or len({nic.model for nic in nics}) > 1:
            return {}
        order = sorted(slots, key=lambda position: pci_place(slots[position]) or (slots[position], 0))
        return {position: f"eth{number}" for number, position in enumerate(order)}
    named = {position: name for position, slot in slots.items() if (name := name_in_slot(slot, scheme))}
    return {position: name for position, name in named.items() if list(named.values()).count(name) == 1}


def name_in_slot(slot: int, scheme: Scheme = Scheme.SLOT) -> str | None:
    """Return the name that udev takes from a PCI slot of VMware, or None.

    VMware's firmware gives the kernel the sum of the two parts as the number of the slot: 160 is ens160, and 1184 is
    ens161.
    """
    if scheme is Scheme.SLOT:
        return f"ens{slot_number(slot)}"
    place = pci_place(slot)
    return f"enp{place[0]}s{place[1]}" if place else None


def by_mac(names: Mapping[int, str], macs: Sequence[str | None]) -> dict[str, str]:
    """Return names by MAC address. NICs without one of their own are left out."""
    return {mac: name for place, name in names.items() if (mac := macs[place]) is not None and macs.count(mac) == 1}
