# SPDX-License-Identifier: GPL-2.0-or-later
"""MAC addresses that the guest remembers, where the source states none: its configuration is for NICs with them."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.linux.network.names import Reading
from v2v_convert_guestfs.linux.network.pairing import in_order
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_core.api import Nic


def addresses(nics: Sequence[Nic], configured: Reading, rules: Reading) -> dict[int, str]:
    """Return MAC addresses by the position of the NIC.

    Only NICs with a new address get one, and only if it is clear which: the guest remembers as many addresses, and
    their names tell the order.
    """
    new = [position for position, nic in enumerate(nics) if nic.mac_is_new]
    stated = {mac_address(nic.mac) for nic in nics if not nic.mac_is_new}
    # A rule for a NIC that is gone stays in the guest: the configuration tells which are in use.
    named = {name: mac for name, mac in configured.nics.items() if mac is not None}
    named |= {name: mac for name, mac in rules.nics.items() if mac is not None and name in configured.nics}
    unnamed = [mac for mac in (*configured.matched, *configured.named) if mac not in named.values()]
    if not named and not unnamed:
        named = {name: mac for name, mac in rules.nics.items() if mac is not None}
    known = [mac for mac in dict.fromkeys([*named.values(), *unnamed]) if mac not in stated]
    if not new or len(known) != len(new):
        return {}
    if len(new) == 1:
        return {new[0]: known[0]}
    by_name = {name: mac for name, mac in named.items() if mac in known}
    ordered = in_order(list(by_name)) if len(by_name) == len(known) else None
    return {position: by_name[name] for position, name in zip(new, ordered or [], strict=False)}
