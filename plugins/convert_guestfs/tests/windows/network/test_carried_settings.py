# SPDX-License-Identifier: GPL-2.0-or-later
"""Static settings in the registry become the calls of the first boot, and the old adapters lose their addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from v2v_convert_guestfs.windows.firstboot.plan import NETWORK
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import Value, dword, sz
from v2v_core.api import StaticAddress
from windows_adapters import (
    CLASS,
    E1000,
    WINDOWS_7,
    XP,
    A,
    B,
    Card,
    addresses,
    commands,
    hive,
    nics,
    planned,
    static,
)

CARD = Card(
    7,
    "Local Area Connection 2",
    E1000 + "1888",
    static("10.3.58.5/24", "10.3.58.6/25", gateway="10.3.58.1", servers="10.3.58.4,10.3.58.3 10.3.58.4"),
    mac=A,
)
INTERFACE = rf"ControlSet001\Services\Tcpip\Parameters\Interfaces\{CARD.guid}"
NETBT = r"HKLM\SYSTEM\CurrentControlSet\Services\NetBT\Parameters\Interfaces\Tcpip_%guid%"
TCPIP = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\%guid%"


def card(**more: Any) -> Card:
    return Card(**{**vars(CARD), **more})


def test_addresses_gateway_and_name_servers() -> None:
    guest, plan = planned(hive(CARD), nics(A), **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24"), (A, "10.3.58.6/25")]
    start, name = "netsh interface ipv4", 'name="%name%"'
    assert commands(guest) == [
        f"{start} set address {name} source=static address=10.3.58.5 mask=255.255.255.0 gateway=10.3.58.1",
        f"{start} add address {name} address=10.3.58.6 mask=255.255.255.128",
        f"{start} set dns {name} source=static address=10.3.58.4 register=primary validate=no",
        f"{start} add dns {name} address=10.3.58.3 index=2 validate=no",
    ]
    (script,) = guest.first_boot.scripts
    assert (script.order, script.name) == (NETWORK, "network")
    assert 'set "mac=00-50-56-A5-12-69"' in script.body.splitlines()
    assert "exit /b" not in script.body
    assert guest.first_boot.files == {"network-names.txt": b"1=Local Area Connection 2\r\n"}


def test_vista_does_not_know_validate_and_xp_has_other_words() -> None:
    guest, _ = planned(hive(CARD), nics(A), **{**WINDOWS_7, "version": (6, 0), "build": 6002})
    assert 'netsh interface ipv4 add dns name="%name%" address=10.3.58.3 index=2' in commands(guest)
    old = card(
        mac=None,
        tcpip=static("10.3.58.5/24", gateway="10.3.58.1", servers="10.3.58.4", InterfaceMetric=20, MTU=1400),
        netbt={"NameServerList": ["10.3.58.8", "10.3.58.9"]},
    )
    guest, _ = planned(hive(old), nics(A), **XP)
    start = "netsh interface ip"
    assert commands(guest) == [
        f'{start} set address name="%name%" source=static addr=10.3.58.5 mask=255.255.255.0 gateway=10.3.58.1 '
        "gwmetric=0",
        f'{start} set dns name="%name%" source=static addr=10.3.58.4 register=primary',
        f'{start} set wins name="%name%" source=static addr=10.3.58.8',
        f'{start} add wins name="%name%" addr=10.3.58.9 index=2',
        f'if defined guid reg add "{TCPIP}" /v InterfaceMetric /t REG_DWORD /d 20 /f',
        f'if defined guid reg add "{TCPIP}" /v MTU /t REG_DWORD /d 1400 /f',
    ]


def test_everything_else_that_dhcp_does_not_give() -> None:
    rich = card(
        tcpip=static(
            "10.3.58.5/24",
            DefaultGateway=["10.3.58.1", "10.3.58.2"],
            DefaultGatewayMetric=["5", "0"],
            Domain="lab.example",
            RegistrationEnabled=0,
            InterfaceMetric=20,
            MTU=1400,
        ),
        netbt={"NetbiosOptions": 2, "NameServerList": ["10.3.58.8"]},
        tcpip6={"NameServer": "2001:db8::53"},
        addresses6=["2001:db8::5/64", "fe80::1/64"],
    )
    guest, plan = planned(hive(rich), nics(A), **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24"), (A, "2001:db8::5/64")]
    start, name = "netsh interface ipv4", 'name="%name%"'
    assert commands(guest) == [
        f"{start} set address {name} source=static address=10.3.58.5 mask=255.255.255.0 gateway=10.3.58.1 gwmetric=5",
        f"{start} add address {name} gateway=10.3.58.2",
        f"{start} set dns {name} source=static address=none register=none",
        f"{start} set wins {name} source=static address=10.3.58.8",
        f'{start} set interface interface="%name%" metric=20 store=persistent',
        f'{start} set subinterface interface="%name%" mtu=1400 store=persistent',
        'netsh interface ipv6 add address interface="%name%" address=2001:db8::5/64 store=persistent',
        f"netsh interface ipv6 set dns {name} source=static address=2001:db8::53 validate=no",
        f'if defined guid reg add "{TCPIP}" /v Domain /t REG_SZ /d lab.example /f',
        f'if defined guid reg add "{NETBT}" /v NetbiosOptions /t REG_DWORD /d 2 /f',
    ]


def test_dhcp_with_a_static_name_server_only() -> None:
    leased = {
        "EnableDHCP": 1,
        "DhcpIPAddress": "10.3.58.77",
        "DhcpSubnetMask": "255.255.255.0",
        "DhcpNameServer": "10.3.58.4",
        "IPAddress": ["0.0.0.0"],  # noqa: S104
        "SubnetMask": ["0.0.0.0"],  # noqa: S104
        "NameServer": "192.0.2.53",
    }
    guest, plan = planned(hive(card(tcpip=leased)), nics(A), **WINDOWS_7)
    assert plan.replayed == ()
    assert commands(guest) == [
        'netsh interface ipv4 set dns name="%name%" source=static address=192.0.2.53 register=primary validate=no'
    ]
    guest, plan = planned(hive(card(tcpip={**leased, "NameServer": ""})), nics(A), **WINDOWS_7)
    assert plan.replays == ()
    assert not guest.first_boot.scripts


def test_a_name_that_windows_did_not_give_is_kept_without_static_settings() -> None:
    guest, _ = planned(hive(card(name="Büro & Lab", tcpip={"EnableDHCP": 1})), nics(A), **WINDOWS_7)
    assert guest.first_boot.files["network-names.txt"] == "1=Büro & Lab\r\n".encode("cp850")
    assert commands(guest) == []


@pytest.mark.parametrize("name", ["本社", 'a"b', "a\nb", "x" * 300])
def test_names_that_a_batch_file_cannot_have_are_told(name: str) -> None:
    guest, plan = planned(hive(card(name=name)), nics(A), **WINDOWS_7)
    assert addresses(plan)
    assert guest.first_boot.files == {"network-names.txt": b""}
    (warning,) = guest.report.warnings
    assert "another name on KVM" in warning


def test_routes_are_set_once_on_the_right_nic() -> None:
    row = "00000000" + "00000000" + "00000000" + "00" * 12 + CARD.luid * 2 + "0a033a01" + "00000000"
    to_lab = "00000000" + "0a090000" + "10000000" + "00" * 12 + CARD.luid * 2 + "0a033afe" + "00000000"
    routes = (
        "0.0.0.0,0.0.0.0,10.3.58.1,-1",
        "10.9.0.0,255.255.0.0,10.3.58.254,7",
        "10.8.0.0,255.255.0.0,10.3.58.253,1",
        "172.31.0.0,255.255.0.0,192.0.2.1,1",
    )
    table = r"Control\Nsi\{eb004a00-9b1a-11d4-9123-0050047759bc}\16"
    other = Card(6, "Local Area Connection", E1000 + "0888", static("192.168.1.123/24"), mac=B)
    system = hive(CARD, other, routes=routes, **{table: {row: b"\xff" * 52, to_lab: b"\xff" * 52}})
    guest, plan = planned(system, nics(A, B), **WINDOWS_7)
    added = [line for line in commands(guest) if " add route " in line]
    start = "netsh interface ipv4 add route prefix="
    assert added == [
        start + '10.9.0.0/16 interface="%name%" nexthop=10.3.58.254 metric=7 store=persistent',
        start + '10.8.0.0/16 interface="%name%" nexthop=10.3.58.253 metric=1 store=persistent',
    ]
    assert len(plan.replays[0].settings.routes) == 3
    (warning,) = guest.report.warnings
    assert "172.31.0.0/16" in warning
    after = guest.registry.after()["ControlSet001"]
    assert list(after["Services"]["Tcpip"]["Parameters"]["PersistentRoutes"]) == [routes[3]]
    tables = after["Control"]["Nsi"]["{eb004a00-9b1a-11d4-9123-0050047759bc}"]
    assert tables["16"] == {}


def test_xp_keeps_its_routes_which_belong_to_no_adapter() -> None:
    route = "10.9.0.0,255.255.0.0,10.3.58.254,1"
    guest, _ = planned(hive(card(mac=None), routes=(route,)), nics(A), **XP)
    assert "route" not in " ".join(commands(guest))
    assert not [edit for edit in guest.registry.edits if edit.name == route]


def test_the_old_adapter_has_no_address_in_any_control_set_that_can_start() -> None:
    system = {**hive(CARD), **hive(CARD, control_set="ControlSet002"), **hive(CARD, control_set="ControlSet003")}
    guest, _ = planned(system, nics(A), **WINDOWS_7, default="ControlSet002")
    for control_set, cleared in (("ControlSet001", True), ("ControlSet002", True), ("ControlSet003", False)):
        path = INTERFACE.replace("ControlSet001", control_set)
        found = {
            name: guest.registry.value_after(HiveName.SYSTEM, path, name)
            for name in (
                "IPAddress",
                "SubnetMask",
                "DefaultGateway",
                "DefaultGatewayMetric",
                "EnableDHCP",
                "NameServer",
            )
        }
        gone = [name for name, value in found.items() if value is None]
        assert gone == (["IPAddress", "SubnetMask", "DefaultGateway", "DefaultGatewayMetric"] if cleared else [])
        assert found["EnableDHCP"] == dword(int(cleared))
        connection = rf"{control_set}\Control\Network\{CLASS}\{CARD.guid}\Connection"
        name = "Local Area Connection 2" + (" (before virt-v2v)" if cleared else "")
        assert guest.registry.value_after(HiveName.SYSTEM, connection, "Name") == sz(name)


def test_what_the_user_asks_for_wins() -> None:
    asked = (
        StaticAddress(mac=A, address="10.7.0.5", gateway="10.7.0.1", prefix=16, nameservers=("10.7.0.4",)),
        StaticAddress(mac=B, address="2001:db8::7", prefix=64),
    )
    system = hive(card(addresses6=["2001:db8::5/64"]))
    guest, plan = planned(system, nics(A, B), asked, **WINDOWS_7)
    assert addresses(plan) == [(A, "10.7.0.5/16"), (A, "2001:db8::5/64"), (B, "2001:db8::7/64")]
    start = 'netsh interface ipv4 set {} name="%name%" source=static address='
    assert commands(guest)[:2] == [
        start.format("address") + "10.7.0.5 mask=255.255.0.0 gateway=10.7.0.1",
        start.format("dns") + "10.7.0.4 register=primary validate=no",
    ]
    assert guest.registry.value_after(HiveName.SYSTEM, INTERFACE, "IPAddress") is None


def test_an_address_that_the_user_asks_for_says_which_nic_an_unknown_adapter_is_not() -> None:
    asked = (StaticAddress(mac=B, address="10.3.58.5", gateway="10.3.58.1", prefix=24),)
    unlike = card(mac="00:50:56:00:00:99")
    guest, plan = planned(hive(unlike), nics(B), asked, **WINDOWS_7)
    assert addresses(plan) == [(B, "10.3.58.5/24")]
    assert guest.report.warnings == []
    # that adapter must not keep the address that the NIC gets
    assert guest.registry.value_after(HiveName.SYSTEM, INTERFACE, "IPAddress") is None


WRONG: Mapping[str, Mapping[str, Any]] = {
    "no numbers": {"IPAddress": ["10.3.58.5 & calc"], "SubnetMask": ["255.255.255.0"]},
    "a mask with a hole": {"IPAddress": ["10.3.58.5"], "SubnetMask": ["255.0.255.0"]},
    "a mask of a host": {"IPAddress": ["10.3.58.5"], "SubnetMask": ["0.0.0.255"]},
    "no mask": {"IPAddress": ["10.3.58.5"], "SubnetMask": []},
    "IPv6 in its place": {"IPAddress": ["2001:db8::5"], "SubnetMask": ["255.255.255.0"]},
    "a name as gateway": {"IPAddress": [], "DefaultGateway": ["gw%PATH%"]},
    "a name as server": {"IPAddress": [], "NameServer": "dns.lab.example"},
    "commands as suffix": {"IPAddress": [], "Domain": "x & del C:"},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_settings_that_make_no_sense_are_told_and_never_reach_the_script(wrong: Mapping[str, Any]) -> None:
    guest, plan = planned(hive(card(tcpip={"EnableDHCP": 0, **wrong}, name="LAN")), nics(A), **WINDOWS_7)
    assert plan.replayed == ()
    (warning,) = guest.report.warnings
    assert "'LAN'" in warning
    for script in guest.first_boot.scripts:
        assert not set("&%PATH") & set("".join(commands(guest)).replace('"%name%"', ""))
        assert "calc" not in script.body


STRANGE: Mapping[str, Mapping[str, Any]] = {
    "wrong types": {
        "EnableDHCP": "0",
        "IPAddress": dword(5),
        "SubnetMask": b"\xff\xff",
        "NameServer": Value(7, b"\0"),
        "Domain": Value(1, b"\x00\xd8"),
        "MTU": b"\x01",
        "InterfaceMetric": Value(4, b"\x01"),
    },
    "text in place of a list": {"EnableDHCP": 0, "IPAddress": "10.3.58.5", "SubnetMask": "255.255.255.0"},
    "very many": {"EnableDHCP": 0, "IPAddress": ["10.3.58.5"] * 1000, "SubnetMask": ["255.255.255.0"] * 1000},
}


@pytest.mark.parametrize("strange", STRANGE.values(), ids=STRANGE)
def test_values_of_the_wrong_type_do_no_harm(strange: Mapping[str, Any]) -> None:
    guest, plan = planned(hive(card(tcpip=strange)), nics(A), **WINDOWS_7)
    assert addresses(plan) == ([] if "MTU" in strange else [(A, "10.3.58.5/24")])
    assert guest.report.warnings == []


def test_damaged_tables_do_no_harm() -> None:
    tables = {
        r"Control\Nsi\{eb004a00-9b1a-11d4-9123-0050047759bc}\16": {"zz": b"", "00": b"", "ff" * 48: b"", "": b"\0"},
        r"Control\Nsi\{eb004a01-9b1a-11d4-9123-0050047759bc}\10": {"x": 1, CARD.luid + "ff" * 16: b"", CARD.luid: b""},
        r"Control\Nsi\{eb004a11-9b1a-11d4-9123-0050047759bc}\10": {CARD.luid: b"", "y": "text"},
        rf"Control\Network\{CLASS}\nonsense\Connection": {"Name": "x"},
        rf"Control\Network\{CLASS}\{{00000000-0000-0000-0000-000000000000}}": {},
        rf"Control\Class\{CLASS}\Properties": {"NetCfgInstanceId": 7},
    }
    guest, plan = planned(hive(card(mac=None), **tables), nics(A), **WINDOWS_7)
    assert addresses(plan) == [(A, "10.3.58.5/24"), (A, "10.3.58.6/25")]
    assert guest.report.warnings == []


def test_a_guest_without_network_keys() -> None:
    for source in ((), nics(A)):
        guest, plan = planned({}, source)
        assert plan.replays == ()
        assert guest.report.warnings == []
        assert not guest.registry.edits
