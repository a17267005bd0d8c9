# SPDX-License-Identifier: GPL-2.0-or-later
"""Which of the source's NICs an adapter in the registry was: by its MAC address, by its slot, as the only one left."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.windows.network.adapters import address_in_instance
from v2v_core.api import Nic
from windows_adapters import E1000, WINDOWS_7, XP, A, B, Card, addresses, hive, interface_row, nics, planned, static

VMXNET3 = r"PCI\VEN_15AD&DEV_07B0&SUBSYS_07B015AD&REV_01"
FIRST = Card(7, "Local Area Connection 2", E1000 + "1888", static("10.3.58.5/24", gateway="10.3.58.1"), slot=35)
SECOND = Card(6, "Local Area Connection", E1000 + "0888", static("192.168.1.123/24"), slot=33)


def with_mac(card: Card, mac: str) -> Card:
    return Card(**{**vars(card), "mac": mac})


def test_the_tables_of_windows_7_remember_the_mac_addresses() -> None:
    system = hive(with_mac(FIRST, A), with_mac(SECOND, B))
    for source in (nics(A, B), nics(B, A), nics(A, B, pci_slot=33)):
        guest, plan = planned(system, source, **WINDOWS_7)
        assert sorted(addresses(plan)) == sorted([(A, "10.3.58.5/24"), (B, "192.168.1.123/24")])
        assert guest.report.warnings == []
        assert dict(guest.session.nic_macs) == {}


def test_the_permanent_address_counts_and_not_one_that_windows_uses_in_its_place() -> None:
    card = Card(7, "LAN", E1000 + "1888", static("10.3.58.5/24"), driver={"NetworkAddress": "020000000001"})
    system = hive(card)
    table = r"ControlSet001\Control\Nsi\{eb004a11-9b1a-11d4-9123-0050047759bc}\10"
    system[table] = {card.luid: interface_row(with_mac(card, "02:00:00:00:00:01"), permanent=A)}
    guest, plan = planned(system, nics(A, B), **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24")]
    assert [text for text in guest.report.warnings if "02:00:00:00:00:01" in text and A in text]


def test_windows_10_remembers_the_mac_address_elsewhere() -> None:
    first = Card(7, "Ethernet0", VMXNET3 + r"\4&1&0&00A8", static("10.3.58.5/24"), kernel_mac=A)
    second = Card(6, "Ethernet1", VMXNET3 + r"\4&1&0&00B8", static("10.3.59.5/24"), kernel_mac=B)
    _, plan = planned(hive(first, second), nics(B, A))
    assert addresses(plan) == [(B, "10.3.59.5/24"), (A, "10.3.58.5/24")]


@pytest.mark.parametrize(
    ("instance", "mac"),
    [
        # e1000e and vmxnet3 of VMware, as real registries have them
        (r"PCI\VEN_8086&DEV_10D3&SUBSYS_07D015AD&REV_00\000C29FFFF661AA200", "00:0c:29:66:1a:a2"),
        (VMXNET3 + r"\FF565000BB0895FE00", "00:50:56:95:08:bb"),
        (VMXNET3.lower() + r"\ff290c008e0e28fe00", "00:0c:29:28:0e:8e"),
        (VMXNET3 + r"\4&2B7C36E&0&00A8", None),
        (VMXNET3 + r"\FF565000BB0895FF00", None),
        (VMXNET3 + r"\000000FFFF00000000", None),
        ("", None),
    ],
)
def test_serial_numbers_of_devices_have_the_mac_address(instance: str, mac: str | None) -> None:
    assert address_in_instance(instance) == mac


def test_slots_count_where_no_mac_address_is_remembered() -> None:
    source = [Nic(mac=A, pci_slot=33, model="e1000"), Nic(mac=B, pci_slot=35, model="e1000")]
    for facts in (WINDOWS_7, XP):
        guest, plan = planned(hive(FIRST, SECOND), source, **facts)
        assert addresses(plan) == [(A, "192.168.1.123/24"), (B, "10.3.58.5/24")]
        assert guest.report.warnings == []


@pytest.mark.parametrize(
    "location",
    [
        "@system32\\DRIVERS\\pci.sys,#65536;PCI bus %1, device %2, function %3;(2,3,0)",
        "PCI bus 2, device 3, function 0",
        "PCI-Bus 2, Gerät 3, Funktion 0",
    ],
)
def test_the_place_counts_where_the_number_of_the_slot_is_missing(location: str) -> None:
    card = Card(7, "LAN", E1000 + "1888", static("10.3.58.5/24"), location=location)
    _, plan = planned(hive(card, Card(6, "LAN 2", E1000 + "0888")), [Nic(mac=A, pci_slot=33), Nic(mac=B, pci_slot=35)])
    assert addresses(plan) == [(B, "10.3.58.5/24")]


def test_an_old_adapter_of_another_model_does_not_count() -> None:
    ghost = Card(5, "Local Area Connection", E1000 + "0888", static("10.3.58.5/24"))
    card = Card(6, "Local Area Connection 2", VMXNET3 + r"\4&1&0&00A8", static("10.3.58.5/24", gateway="10.3.58.1"))
    guest, plan = planned(hive(ghost, card), [Nic(mac=A, model="vmxnet3")], **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24")]
    # the ghost has the same address: it loses it, too
    path = rf"ControlSet001\Services\Tcpip\Parameters\Interfaces\{ghost.guid}"
    assert {edit.name for edit in guest.registry.edits if edit.key.lower() == path.lower()} >= {"IPAddress"}
    assert guest.report.warnings == []


def test_an_adapter_that_was_removed_long_ago_keeps_its_settings_and_gives_none() -> None:
    ghost = Card(5, "Old", E1000 + "2888", static("172.16.0.9/16"), mac="00:50:56:00:00:99")
    guest, plan = planned(hive(ghost, with_mac(FIRST, A)), nics(A), **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24")]
    assert not [edit for edit in guest.registry.edits if ghost.guid.lower() in edit.key.lower()]
    assert guest.report.warnings == []


def test_addresses_are_never_swapped_by_a_guess_that_nobody_hears_of() -> None:
    first = Card(
        7, "LAN 2", E1000 + "1888", static("10.3.58.5/24", gateway="10.3.58.1"), location="PCI bus 2, device 3, 0"
    )
    second = Card(6, "LAN", E1000 + "0888", static("192.168.1.123/24"), location="PCI bus 2, device 1, 0")
    guest, plan = planned(hive(first, second), nics(A, B), **WINDOWS_7)
    assert addresses(plan) == [(A, "192.168.1.123/24"), (B, "10.3.58.5/24")]
    (warning,) = guest.report.warnings
    assert f"--mac {A}:ip:192.168.1.123,,24 --mac {B}:ip:10.3.58.5,10.3.58.1,24" in warning


def test_what_cannot_be_told_apart_is_not_carried_over() -> None:
    first = Card(7, "LAN 2", E1000 + "1888", static("10.3.58.5/24", gateway="10.3.58.1", servers="10.3.58.4"))
    second = Card(6, "LAN", E1000 + "0888", static("192.168.1.123/24"))
    third = Card(5, "LAN 3", E1000 + "2888")
    for cards in ((first, second), (first, second, third)):
        guest, plan = planned(hive(*cards), nics(A, B), **WINDOWS_7)
        assert plan.replays == ()
        assert not guest.registry.edits
        assert not guest.first_boot.scripts
        (warning,) = guest.report.warnings
        for part in (A, B, "10.3.58.5/24", "192.168.1.123/24", "--mac MAC:ip:10.3.58.5,10.3.58.1,24,10.3.58.4"):
            assert part in warning


def test_a_mac_address_that_no_nic_has_is_told() -> None:
    guest, plan = planned(hive(with_mac(Card(**{**vars(FIRST), "slot": None}), A)), nics(B), **WINDOWS_7)
    assert plan.replays == ()
    (warning,) = guest.report.warnings
    assert A in warning
    assert B in warning
    assert "--mac MAC:ip:10.3.58.5,10.3.58.1,24" in warning


def test_the_machine_gets_the_mac_addresses_that_windows_remembers() -> None:
    new = [Nic(mac="52:54:00:00:00:01", mac_is_new=True, network="VM Network")]
    guest, plan = planned(hive(with_mac(FIRST, A)), new, **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24")]
    assert dict(guest.session.nic_macs) == {0: A}
    assert guest.report.warnings == []


def test_several_new_mac_addresses_are_assigned_by_order_with_a_warning() -> None:
    cards = (
        Card(**{**vars(with_mac(FIRST, A)), "location": "PCI bus 2, device 3, function 0"}),
        Card(**{**vars(with_mac(SECOND, B)), "location": "PCI bus 2, device 1, function 0"}),
    )
    new = [
        Nic(mac="52:54:00:00:00:01", mac_is_new=True, network="front"),
        Nic(mac="52:54:00:00:00:02", mac_is_new=True, network="back"),
    ]
    guest, plan = planned(hive(*cards), new, **WINDOWS_7)
    assert dict(guest.session.nic_macs) == {0: B, 1: A}
    assert addresses(plan) == [(B, "192.168.1.123/24"), (A, "10.3.58.5/24")]
    (warning,) = guest.report.warnings
    assert "10.3.58.5/24 is NIC 2 on 'back'" in warning
    assert f"--nic network=NAME,mac={B} --nic network=NAME,mac={A}" in warning


def test_one_nic_of_an_image_does_not_get_the_address_of_one_of_two_adapters() -> None:
    new = [Nic(mac="52:54:00:00:00:01", mac_is_new=True)]
    guest, plan = planned(hive(with_mac(FIRST, A), with_mac(SECOND, B)), new, **WINDOWS_7)
    assert plan.replays == ()
    assert dict(guest.session.nic_macs) == {}
    (warning,) = guest.report.warnings
    assert f"--nic network=NAME,mac={A}" in warning


def test_two_adapters_with_the_mac_address_of_one_nic() -> None:
    moved = Card(5, "Old", E1000 + "0888", static("10.3.58.4/24"), mac=A, slot=33)
    card = Card(6, "New", E1000 + "1888", static("10.3.58.5/24"), mac=A, slot=35)
    _, plan = planned(hive(moved, card), [Nic(mac=A, pci_slot=35)], **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24")]
    guest, plan = planned(hive(moved, card), [Nic(mac=A)], **WINDOWS_7)
    assert plan.replays == ()
    assert len(guest.report.warnings) == 1


def test_teams_and_bridges_are_to_be_made_again() -> None:
    team = Card(
        9, "Team 1", r"COMPOSITEBUS\MS_IMPLAT_MP\{1}", static("10.3.58.5/24"), mac=A,
        driver={"ComponentId": r"compositebus\ms_implat_mp"},
    )  # fmt: skip
    tunnel = Card(8, "VPN", r"ROOT\NET\0000", static("10.8.0.2/24"))
    guest, plan = planned(hive(team, tunnel, Card(6, "LAN", E1000 + "0888", mac=A)), nics(A))
    assert plan.replayed == ()
    (warning,) = guest.report.warnings
    assert "'Team 1'" in warning
    assert "10.3.58.5/24" in warning
    assert "a team" in warning
