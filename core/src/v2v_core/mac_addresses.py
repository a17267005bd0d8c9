# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC addresses for network interfaces whose source states none.

The target must know the address before the guest is converted: the guest's names for its interfaces are tied to it.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping, Sequence

from v2v_core.model import Nic
from v2v_core.reporting import StepReport

#: The prefix of QEMU and libvirt. The rest is by chance: two guests of one appliance image may be on one network.
_PREFIX = "52:54:00"
_UNKNOWN = frozenset({"", "00:00:00:00:00:00"})


def with_addresses(nics: Sequence[Nic], report: StepReport) -> tuple[Nic, ...]:
    """Return the interfaces, those without a MAC address with a new one that no other of them has."""
    taken = {nic.mac.lower() for nic in nics if nic.mac}
    found = []
    for number, nic in enumerate(nics, 1):
        if (nic.mac or "") not in _UNKNOWN:
            found.append(nic)
            continue
        mac = _new_address()
        while mac in taken:
            mac = _new_address()
        taken.add(mac)
        report.message(f"The source states no MAC address for network interface {number}: it gets {mac}")
        found.append(dataclasses.replace(nic, mac=mac, mac_is_new=True))
    return tuple(found)


def with_addresses_of_guest(nics: Sequence[Nic], known: Mapping[int, str]) -> tuple[Nic, ...]:
    """Return the interfaces, those with a new MAC address with the one that the guest itself remembers.

    :param known: MAC addresses by the position of the interface.
    """
    return tuple(
        dataclasses.replace(nic, mac=known[position]) if nic.mac_is_new and position in known else nic
        for position, nic in enumerate(nics)
    )


def _new_address() -> str:
    return ":".join([_PREFIX, *(f"{byte:02x}" for byte in secrets.token_bytes(3))])
