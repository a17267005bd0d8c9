# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine whether the first boot sets each static address once, on its NIC."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial

from v2v_convert_guestfs.windows.examine.expected import FirstBootService, StaticAddress
from v2v_convert_guestfs.windows.examine.verdicts import fact
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Fact

_MAC = re.compile(r'^set "mac=([0-9A-F-]{17})"$', re.IGNORECASE)
_COMMAND = re.compile(r"^netsh interface (?:ip|ipv4|ipv6) (?:set|add) address (.*)$", re.IGNORECASE)
_ADDRESS = re.compile(r"\baddr(?:ess)?=([0-9A-Fa-f.:]+)")


def address_facts(
    guest: WindowsGuest, service: FirstBootService | None, addresses: Sequence[StaticAddress]
) -> Iterator[Fact]:
    """Yield a fact for each address."""
    found = list(_settings(guest, service)) if addresses else []
    for each in addresses:
        pair = (each.mac.lower().replace("-", ":"), str(each.address.ip))
        yield fact(
            f"the first boot gives the address {each.address} to the NIC {each.mac}", partial(_wrong, found, pair)
        )


def _wrong(found: Sequence[tuple[str, str]], pair: tuple[str, str]) -> Iterator[str]:
    count = found.count(pair)
    if count > 1:
        yield f"it is set {count} times"
    if not count:
        others = [mac for mac, address in found if address == pair[1]]
        yield f"it is set on {', '.join(others)}" if others else "no script sets it"


def _settings(guest: WindowsGuest, service: FirstBootService | None) -> Iterator[tuple[str, str]]:
    """Yield the NIC and the address of each command that sets one."""
    for path in service.files if service is not None else ():
        if not path.lower().endswith(".bat"):
            continue
        mac = ""
        for line in (guest.files.read(path) or b"").decode("ascii", "replace").splitlines():
            if named := _MAC.match(line.strip()):
                mac = named.group(1).lower().replace("-", ":")
            elif (command := _COMMAND.match(line.strip())) and (address := _ADDRESS.search(command.group(1))):
                yield mac, address.group(1).lower()
