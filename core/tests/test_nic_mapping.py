# SPDX-License-Identifier: GPL-2.0-or-later
"""Network interfaces are mapped by MAC address, else by name, else by the default, else not at all."""

from __future__ import annotations

import pytest

from v2v_core.model import Nic
from v2v_core.nic_mapping import map_nics
from v2v_core.settings import NicMapping

MAC = "52:54:00:aa:bb:cc"
BY_MAC = NicMapping(kind="bridge", target="br-mac", mac=MAC)
BY_NAME = NicMapping(kind="network", target="by-name", source="VM Network")
BY_DEFAULT = NicMapping(kind="network", target="by-default")
BRIDGES = NicMapping(kind="bridge", target="br-default")


@pytest.mark.parametrize(
    ("nic", "mappings", "kind", "network"),
    [
        (Nic(network="VM Network", mac=MAC), [BY_DEFAULT, BY_NAME, BY_MAC], "bridge", "br-mac"),
        (Nic(network="VM Network", mac=MAC.upper()), [BY_MAC], "bridge", "br-mac"),
        (Nic(network="VM Network"), [BY_DEFAULT, BY_NAME, BY_MAC], "network", "by-name"),
        (Nic(network="other"), [BY_DEFAULT, BY_NAME, BY_MAC, BRIDGES], "network", "by-default"),
        (Nic(network="other"), [BY_NAME, BY_MAC, BRIDGES], "network", "other"),
        (Nic(network="br0", kind="bridge"), [BY_DEFAULT], "bridge", "br0"),
        (Nic(network="VM Network", kind="bridge"), [BY_NAME], "bridge", "VM Network"),
        (Nic(network="br0", kind="bridge"), [BY_DEFAULT, BRIDGES], "bridge", "br-default"),
        (Nic(network="x"), [BY_DEFAULT, NicMapping(kind="network", target="second")], "network", "by-default"),
        (Nic(network="x", mac=None), [BY_MAC], "network", "x"),
    ],
    ids=[
        "mac wins, and changes the kind",
        "mac in capitals",
        "name wins over default",
        "default",
        "no mapping",
        "default of the other kind",
        "name of the other kind",
        "default of its kind",
        "first of two defaults",
        "no mac at the source",
    ],
)
def test_interface_is_mapped(nic: Nic, mappings: list[NicMapping], kind: str, network: str) -> None:
    (mapped,) = map_nics([nic], mappings)
    assert (mapped.kind, mapped.network) == (kind, network)
    assert (mapped.mac, mapped.model) == (nic.mac, nic.model)


def test_every_interface_is_mapped_and_the_order_is_kept() -> None:
    nics = [Nic(network="b"), Nic(network="VM Network"), Nic(network="a", mac=MAC)]
    assert [nic.network for nic in map_nics(nics, [BY_MAC, BY_NAME])] == ["b", "by-name", "br-mac"]
