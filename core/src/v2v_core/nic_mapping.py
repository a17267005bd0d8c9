# SPDX-License-Identifier: GPL-2.0-or-later
"""What the network interfaces are connected to at the target: ``-b``, ``-n`` and ``--mac network|bridge``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from v2v_core.model import Nic
from v2v_core.settings import NicMapping


def map_nics(nics: Sequence[Nic], mappings: Sequence[NicMapping]) -> tuple[Nic, ...]:
    """Map interfaces: by exact MAC, else by name at the source, else by the default of their kind, else not at all.

    Only a mapping by MAC changes a bridge into a network or the other way round.
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
