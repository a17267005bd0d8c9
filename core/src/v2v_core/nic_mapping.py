# SPDX-License-Identifier: GPL-2.0-or-later
"""The networks and bridges of the target's interfaces: ``-b``, ``-n`` and ``--mac MAC:network|bridge:NAME``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from v2v_core.model import Nic
from v2v_core.settings import NicMapping


def map_nics(nics: Sequence[Nic], mappings: Sequence[NicMapping]) -> tuple[Nic, ...]:
    """Return the interfaces with the networks or bridges that they have at the target.

    The first mapping that fits an interface is used, in this order: by its MAC address, by the name of its network or
    bridge at the source, the default for its kind. An interface without a mapping stays as it is. Only a mapping by MAC
    address changes a bridge into a network or a network into a bridge.
    """
    return tuple(_map(nic, mappings) for nic in nics)


def _map(nic: Nic, mappings: Sequence[NicMapping]) -> Nic:
    mac = nic.mac.lower() if nic.mac is not None else None
    for mapping in mappings:
        if mapping.mac is not None and mapping.mac == mac:
            return dataclasses.replace(nic, kind=mapping.kind, network=mapping.target)
    same_kind = [mapping for mapping in mappings if mapping.mac is None and mapping.kind == nic.kind]
    for wanted in (nic.network, None):
        for mapping in same_kind:
            if mapping.source == wanted:
                return dataclasses.replace(nic, network=mapping.target)
    return nic
