# SPDX-License-Identifier: GPL-2.0-or-later
"""Order the NICs of the target so that the kernel itself gives them the names that the guest knows: eth0, eth1.

The kernel calls the NICs eth0, eth1 and so on, in the order in which it finds them. udev cannot exchange these names:
each is taken by the other NIC, and which renaming succeeds is left to chance. systemd.link(5) warns of such names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_KERNEL_NAME = re.compile(r"eth(0|[1-9]\d{0,2})", re.ASCII)


def order_of_nics(names: Mapping[str, str], source: Sequence[str | None]) -> tuple[int, ...]:
    """Return the positions of the source's NICs, from 0, in the order for the target; () if theirs is good.

    :param names: the name of each NIC by its MAC address. :param source: the MAC addresses of the source's NICs.
    """
    count = len(source)
    wanted: dict[int, int] = {}
    for position, mac in enumerate(source):
        match = _KERNEL_NAME.fullmatch(names.get(mac or "", ""))
        if match and int(match[1]) < count:
            if int(match[1]) in wanted or source.count(mac) > 1:
                return ()
            wanted[int(match[1])] = position
    others = iter([position for position in range(count) if position not in wanted.values()])
    order = tuple(wanted[place] if place in wanted else next(others) for place in range(count))
    return () if order == tuple(range(count)) else order
