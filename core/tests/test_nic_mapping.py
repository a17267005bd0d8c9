# SPDX-License-Identifier: GPL-2.0-or-later
"""Network interfaces are mapped by MAC address, else by name, else by the default, else not at all."""

from __future__ import annotations

import pytest

from v2v_core.errors import UsageError
from v2v_core.model import Nic
from v2v_core.nic_mapping import check_mappings, map_nics, unmapped, with_given
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


ANY = NicMapping(kind="bridge", target="br0", source="VM Network", either=True)
ANY_DEFAULT = NicMapping(kind="network", target="lan", either=True)


@pytest.mark.parametrize(
    ("nic", "kind", "network"),
    [
        (Nic(network="VM Network"), "bridge", "br0"),
        (Nic(network="VM Network", kind="bridge"), "bridge", "br0"),
        (Nic(network="other", kind="bridge"), "network", "lan"),
        (Nic(network="VM Network", mac=MAC), "bridge", "br-mac"),
    ],
)
def test_map_fits_either_kind(nic: Nic, kind: str, network: str) -> None:
    (mapped,) = map_nics([nic], [ANY_DEFAULT, ANY, BY_MAC])
    assert (mapped.kind, mapped.network) == (kind, network)


def test_a_mapping_that_fits_nothing_is_a_warning_that_names_what_the_guest_has() -> None:
    """The migration kit told the user neither which name was wrong nor which there are
    (os-migrate/vmware-migration-kit#138).
    """
    nics = [Nic(network="VM Network", mac=MAC), Nic(network="br5", kind="bridge")]
    (warning,) = check_mappings(nics, [NicMapping(kind="network", target="dmz", source="DMZ"), ANY])
    assert "--network DMZ:dmz fits no interface of the guest" in warning
    assert f"{MAC} on the network 'VM Network'" in warning
    assert "on the bridge 'br5'" in warning


def test_a_misspelt_network_is_asked_about() -> None:
    (warning,) = check_mappings([Nic(network="VLAN 11")], [NicMapping(kind="network", target="x", source="VLAN 10")])
    assert "did you mean" not in warning
    (warning,) = check_mappings(
        [Nic(network="Production")], [NicMapping(kind="network", target="x", source="Producton")]
    )
    assert "did you mean 'Production'?" in warning


@pytest.mark.parametrize(
    ("nic", "mapping", "hint"),
    [
        (Nic(network="VM Network"), NicMapping(kind="network", target="x", source="vm network"), "'VM Network'"),
        (
            Nic(network="br0", kind="bridge"),
            NicMapping(kind="network", target="x", source="br0"),
            "--map br0=network:x",
        ),
        (
            Nic(network="VM Network"),
            NicMapping(kind="bridge", target="br0", source="VM Network"),
            '--map "VM Network=bridge:br0"',
        ),
    ],
    ids=["case", "kind", "kind of a port group"],
)
def test_a_mapping_that_is_wrong_for_certain_is_refused(nic: Nic, mapping: NicMapping, hint: str) -> None:
    """Wrong case of a port group's name, and ``-b`` for a network: the guest would come up without its network."""
    with pytest.raises(UsageError, match="fits no interface") as refused:
        check_mappings([nic], [mapping])
    assert refused.value.hint is not None
    assert f"did you mean {hint}?" in refused.value.hint


def test_a_mac_address_that_the_guest_does_not_have_is_refused() -> None:
    with pytest.raises(UsageError, match=f"--mac {MAC}:bridge:br-mac fits no interface") as refused:
        check_mappings([Nic(network="a", mac="52:54:00:00:00:01")], [BY_MAC])
    assert refused.value.hint is not None
    assert refused.value.hint.startswith("the guest has 52:54:00:00:00:01 on the network 'a'; ")
    assert "--nic network=NAME,mac=MAC" in refused.value.hint
    # the interface without an address may be the one that is meant, which is not certain
    (warning,) = check_mappings([Nic(network="a")], [BY_MAC])
    assert "fits no interface" in warning


@pytest.mark.parametrize(
    ("nics", "mappings"),
    [
        ([Nic(network="VM Network", mac=MAC)], [BY_MAC, BY_NAME, BY_DEFAULT]),
        ([Nic(network="LAN")], [NicMapping(kind="network", target="a", source="LAN"), BY_DEFAULT]),
        ([Nic(network="x", kind="bridge"), Nic(network="x")], [ANY_DEFAULT]),
    ],
)
def test_a_mapping_that_fits_is_no_warning_even_if_another_one_is_used(
    nics: list[Nic], mappings: list[NicMapping]
) -> None:
    assert check_mappings(nics, mappings) == ()


def test_the_default_of_the_other_kind_leads_to_map() -> None:
    (warning,) = check_mappings([Nic(network="br0", kind="bridge")], [BY_DEFAULT])
    assert "--network by-default fits no interface" in warning
    assert "--map network:by-default is for networks and bridges alike" in warning


def test_unmapped_networks_are_told_in_one_warning() -> None:
    """A host without a network of that name does not start the guest (vagrant-libvirt/vagrant-libvirt#102)."""
    nics = [Nic(network="VM Network"), Nic(network="VM Network"), Nic(network="br9", kind="bridge"), Nic()]
    warning = unmapped(nics, [])
    assert warning is not None
    assert "the network 'VM Network', the bridge 'br9'" in warning
    assert '--map "VM Network=network:default"' in warning
    assert unmapped(nics, [ANY_DEFAULT]) is None
    assert unmapped([Nic(), Nic(network="")], []) is None


def test_networks_that_the_user_gave_are_not_told() -> None:
    given = [Nic(network="br0", kind="bridge")]
    assert unmapped(given, with_given([], given)) is None
    assert [nic.network for nic in map_nics(given, with_given([BRIDGES], given))] == ["br-default"]
