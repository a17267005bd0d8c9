# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of NICs: what each kind of configuration says, whose each name is, and what is written to keep it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.network import (
    cloud_init,
    ifcfg,
    ifupdown,
    ini,
    mentions,
    netplan,
    traces,
    udev_rules,
)
from v2v_convert_guestfs.linux.network.keep_names import link_file, udev_rule
from v2v_convert_guestfs.linux.network.names import Reading, merged, nic_name
from v2v_convert_guestfs.linux.network.pairing import Evidence, Pin, in_order, pair
from v2v_convert_guestfs.linux.network.scheme import Scheme, by_mac, names_by_slot
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_core.api import Nic

A, B, C = "00:50:56:aa:00:01", "00:50:56:aa:00:02", "00:50:56:aa:00:03"

READERS: tuple[Callable[[bytes], object], ...] = (
    ifupdown.interfaces,
    netplan.netplan,
    ini.keyfile,
    ini.network,
    ini.netdev,
    ini.link,
    lambda data: ifcfg.ifcfg(data, "/etc/sysconfig/network/ifcfg-eth0"),
    udev_rules.rules,
    lambda data: list(mentions.mentions(data, "/etc/dnsmasq.conf")),
    lambda data: cloud_init.named(netplan.load(data)),
    lambda data: traces.add_log(traces.Traces(), "/var/log/syslog", data),
    lambda data: traces.add_lease(traces.Traces(), "/var/lib/dhcp/x", "eth0", data),
)
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                *(
                    b"iface eth0 inet static\n",
                    b"auto ",
                    b"allow-hotplug ",
                    b"\\\n",
                    b"bridge_ports ",
                    b"\n",
                    b" ",
                    b"=",
                ),
                *(
                    b"network:\n  ethernets:\n",
                    b"    ens192:\n",
                    b"      match: ",
                    b"&a ",
                    b"*a",
                    b"[",
                    b"{",
                    b"- ",
                    b": ",
                ),
                *(
                    b"[Match]\n",
                    b"Name=",
                    b"MACAddress=",
                    A.encode(),
                    b"[connection]\n",
                    b"interface-name=",
                    b"[",
                    b"]",
                ),
                *(b"DEVICE=", b"HWADDR=", b"'", b'"', b'SUBSYSTEM=="net", ', b'NAME="', b'ATTR{address}=="', b"!!int "),
                *(b"LPF/eth0/", b"0000:03:00.0 ens160: renamed from eth0", b"CLIENTID=01", b"ens[0-9]*", b"config:\n"),
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


@pytest.mark.parametrize(
    ("text", "nics", "virtual"),
    [
        ("allow-hotplug ens192\niface ens192 inet static\n  address 192.0.2.10/24\n", {"ens192"}, set()),
        ("auto lo\niface lo inet loopback\n", set(), set()),
        ("auto eth0 eth0:1 \\\n eth1\niface eth0 inet dhcp\niface eth0 inet6 auto\n", {"eth0", "eth1"}, set()),
        ("iface br0 inet static\n bridge_ports eth0 eth1\n bridge-stp off\n", {"eth0", "eth1"}, {"br0"}),
        ("iface lan inet static\n bridge_ports none\n", {"lan"}, {"lan"}),
        ("iface bond0 inet manual\n bond-slaves ens160\n", {"ens160"}, {"bond0"}),
        ("iface ens192 inet manual\n bond-master bond0\n bond-primary ens160\n", {"ens160", "ens192"}, set()),
        ("iface ens192.7 inet dhcp\n  vlan-raw-device ens224\n", {"ens192", "ens224"}, set()),
        ("# iface eth9 inet dhcp\niface /eth* inet dhcp\niface ../x inet dhcp\niface\n", set(), set()),
        ("iface aninterfacename16 inet dhcp\n", set(), set()),
    ],
)
def test_ifupdown(text: str, nics: set[str], virtual: set[str]) -> None:
    found = ifupdown.interfaces(text.encode())
    assert (set(found.nics), set(found.virtual)) == (nics, virtual)


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        ("network:\n  version: 2\n  ethernets:\n    ens192:\n      addresses: [192.0.2.1/24]\n", {"ens192"}),
        (f"network: {{ethernets: {{lan: {{match: {{macaddress: '{A}'}}, set-name: lan}}}}}}", set()),
        ("network: {ethernets: {lan: {match: {name: ens160}}}}", {"ens160"}),
        ("network: {ethernets: {lan: {match: {name: 'en*'}}}}", set()),
        ("network: {ethernets: {eth0: {}}, bridges: {br0: {interfaces: [eth0]}}}", {"eth0"}),
        ("network: {ethernets: {eth0: }}", {"eth0"}),
        ("network: {ethernets: {eth0: &x {}, eth1: *x}}", set()),
        ("network: [\n", set()),
        ("network: {ethernets: {? [a] : {}}}", set()),
        ("[" * 5000, set()),
        ("{a: " * 5000, set()),
        ("#" * (netplan.LIMIT + 1), set()),
    ],
)
def test_netplan(text: str, nics: set[str]) -> None:
    assert set(netplan.netplan(text.encode()).nics) == nics


def test_a_driver_in_netplan_is_noted() -> None:
    found = netplan.netplan(b"network: {ethernets: {lan: {match: {driver: vmxnet3}}}}")
    assert found == Reading(notes=("lan is matched by its driver (vmxnet3)",))


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        ("[connection]\ntype=ethernet\ninterface-name=ens192\n[ethernet]\n", {"ens192": None}),
        (f"[connection]\ntype=ethernet\ninterface-name=ens192\n[ethernet]\nmac-address={A.upper()}\n", {"ens192": A}),
        (f"[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address={A}\n", {}),
        ("[connection]\ntype=bridge\ninterface-name=lan\n", {}),
        ("[connection]\ntype=vlan\ninterface-name=v7\n[vlan]\nparent=ens160\n", {"ens160": None}),
        ("[connection]\ntype=wifi\ninterface-name=wlan0\n", {}),
        ("; x\n[connection\ninterface-name=eth0\n", {}),
    ],
)
def test_keyfiles(text: str, nics: dict[str, str | None]) -> None:
    assert ini.keyfile(text.encode()).nics == nics


@pytest.mark.parametrize(
    ("text", "nics"),
    [
        ("[Match]\nName=ens192 eth1\n[Network]\nDHCP=yes\n", {"ens192": None, "eth1": None}),
        ("[Match]\nName=en*\n", {}),
        (f"[Match]\nMACAddress={A}\n", {}),
        (f"[Match]\nMACAddress={A}\nName=ens192\n", {"ens192": A}),
        ("[Match]\nName=lan\nKind=bridge\n", {}),
    ],
)
def test_networkd(text: str, nics: dict[str, str | None]) -> None:
    assert ini.network(text.encode()).nics == nics


def test_a_netdev_is_no_nic() -> None:
    files = [ini.network(b"[Match]\nName=lan\n"), ini.netdev(b"[NetDev]\nName=lan\nKind=bridge\n")]
    assert merged(files).nics == {}


@pytest.mark.parametrize(
    ("name", "text", "nics", "virtual"),
    [
        ("ifcfg-ens192", "DEVICE=ens192\nONBOOT=yes\n", {"ens192": None}, set()),
        ("ifcfg-Wired", f'DEVICE="eth0"\nTYPE=Ethernet\nHWADDR="{A.upper()}"\n', {"eth0": A}, set()),
        ("ifcfg-lo", "DEVICE=lo\n", {}, set()),
        ("ifcfg-lan", "DEVICE=lan\nTYPE=Bridge\n", {}, {"lan"}),
        ("ifcfg-eth0.7", "DEVICE=eth0.7\nVLAN=yes\n", {"eth0": None}, set()),
        ("ifcfg-eth0:1", "IPADDR=192.0.2.1\n", {"eth0": None}, set()),
        ("ifcfg-lan", "BRIDGE='yes'\nBRIDGE_PORTS='eth0 eth1'\n", {"eth0": None, "eth1": None}, {"lan"}),
        (
            "ifcfg-up",
            "BONDING_MASTER=yes\nBONDING_SLAVE_0=eth2\nBONDING_SLAVE1=p3\n",
            {"eth2": None, "p3": None},
            {"up"},
        ),
        ("ifcfg-v7", "ETHERDEVICE=eth0\nVLAN_ID=7\n", {"eth0": None}, {"v7"}),
        ("ifcfg-eth0", "BOOTPROTO='static'\nIPADDR='192.0.2.1/24'\n", {"eth0": None}, set()),
        (f"ifcfg-eth-id-{A}", "BOOTPROTO=dhcp\n", {}, set()),
        ("ifcfg-eth0", "DEVICE='../../x'\n", {}, set()),
    ],
)
def test_ifcfg(name: str, text: str, nics: dict[str, str | None], virtual: set[str]) -> None:
    found = ifcfg.ifcfg(text.encode(), f"/etc/sysconfig/network/{name}")
    if "DEVICE=" not in text:
        assert ifcfg.ifcfg(text.encode(), f"/etc/sysconfig/network-scripts/{name}").nics.keys() <= nics.keys()
    assert (found.nics, set(found.virtual)) == (nics, virtual)


def test_udev_rules() -> None:
    found = udev_rules.rules(
        b'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{address}=="' + A.upper().encode() + b'", \\\n'
        b'  ATTR{dev_id}=="0x0", ATTR{type}=="1", KERNEL=="eth*", NAME="eth1"\n'
        b'# SUBSYSTEM=="net", ATTR{address}=="' + B.encode() + b'", NAME="eth7"\n'
        b'SUBSYSTEM=="net", KERNELS=="0000:03:00.0", NAME="eth2"\nSUBSYSTEM=="net", DRIVERS=="e1000", NAME="eth3"\n'
        b'SUBSYSTEM=="block", ATTR{address}=="' + C.encode() + b'", NAME="eth4"\n'
    )
    assert found.nics == {"eth1": A}
    assert found.notes == ("eth2 is matched by KERNELS=='0000:03:00.0'", "eth3 is matched by DRIVERS=='e1000'")


def test_links() -> None:
    assert ini.link(f"[Match]\nMACAddress={A}\n[Link]\nName=eth0\n".encode()) == ini.Link((A,), "eth0")
    assert ini.link(b"[Match]\nPath=pci-0000:03:00.0\n[Link]\nName=eth0\n") == ini.Link((), "eth0", True)
    assert ini.link(b"[Match]\nOriginalName=*\n[Link]\nNamePolicy=kernel\n") == ini.Link()
    # Our own are read as what they are when the guest is converted again.
    assert ini.link(link_file(Pin("ens192", A, ""))).macs == (A,)
    assert udev_rules.rules(udev_rule(Pin("ens192", A, ""))).nics == {"ens192": A}


@pytest.mark.parametrize(
    ("configured", "pinned", "source", "pins"),
    [
        ({"ens192": None}, {}, [A], {"ens192": A}),
        ({"ens192": A}, {}, [B, A], {"ens192": A}),
        ({"ens192": A, "lan": None}, {}, [B, A], {"ens192": A, "lan": B}),
        ({"eth0": None}, {"eth0": A}, [A], {}),
        ({"eth0": None, "lan": None}, {"eth0": A}, [A, B], {"lan": B}),
        ({"ens224": None, "ens161": None, "ens192": None}, {}, [A, B, C], {"ens192": A, "ens224": B, "ens161": C}),
        ({"eth10": None, "eth2": None}, {}, [A, B], {"eth2": A, "eth10": B}),
        ({"ens192": None}, {}, [A, B], {}),
        ({"ens192": None, "lan": None}, {}, [A, B], {}),
        ({"ens192": None, "eth0": None}, {}, [A, B], {}),
        ({"ens192": None}, {}, [A, None], {}),
        ({"ens192": None}, {}, [A, A], {}),
        ({"ens192": A, "ens224": A}, {}, [A], {}),
        ({"ens192": B}, {}, [A], {}),
        ({"ens192": A}, {"eth0": A}, [A], {}),
        ({"ens192": None}, {}, [None], {}),
        # A template's rule of a NIC that is gone does not hold.
        ({"eth0": None}, {"eth0": B}, [A], {"eth0": A}),
    ],
)
def test_pairing(
    configured: dict[str, str | None], pinned: dict[str, str | None], source: list[str | None], pins: dict[str, str]
) -> None:
    found = pair(configured, pinned, source)
    assert {pin.name: pin.mac for pin in found.pins} == pins
    kept = {name for name, mac in pinned.items() if mac in source}
    assert set(configured) == {*pins, *found.unknown, *found.stale} | (kept & set(configured))


def test_what_is_found_by_its_address_is_no_candidate_for_a_name() -> None:
    files = [
        netplan.netplan(f"network: {{ethernets: {{lan: {{match: {{macaddress: '{A.upper()}'}}}}}}}}".encode()),
        ini.keyfile(f"[connection]\ntype=ethernet\n[ethernet]\nmac-address={B}\n".encode()),
    ]
    for other in (
        ini.network(f"[Match]\nMACAddress={B}\n".encode()),
        ifcfg.ifcfg(b"", f"/etc/sysconfig/network/ifcfg-eth-id-{B}"),
        ifcfg.ifcfg(f"HWADDR={B}\n".encode(), "/etc/sysconfig/network-scripts/ifcfg-Wired"),
    ):
        assert other == files[1]
    found = merged([*files, Reading({"ens192": None})])
    assert [pin.mac for pin in pair(found.nics, {}, [A, B, C], found.matched).pins] == [C]


def in_slots(slots: dict[str, int]) -> Evidence:
    """Return what is known about NICs by their slots on VMware."""
    nics = [Nic(mac=mac, pci_slot=slot) for mac, slot in slots.items()]
    return Evidence(by_mac(names_by_slot(Scheme.SLOT, nics), list(slots)))


@pytest.mark.parametrize(
    ("configured", "slots", "pins"),
    [
        # home-assistant/home-assistant.io#47305, kubev2v/forklift#3781: NICs that were removed and added again
        (("ens160", "ens192"), {A: 192, B: 160}, {"ens160": B, "ens192": A}),
        # the fifth NIC of a machine
        (("ens161",), {A: 1184, B: 160}, {"ens161": A, "ens160": B}),
        (("ens33", "ens192"), {A: 192, B: 33}, {"ens33": B, "ens192": A}),
        # two NICs cannot be in one slot
        (("ens160",), {A: 160, B: 160}, {}),
        # the others are found as before
        (("ens160", "lan0"), {A: 192, B: 160}, {"ens160": B, "lan0": A}),
    ],
)
def test_slots_of_the_source(configured: tuple[str, ...], slots: dict[str, int], pins: dict[str, str]) -> None:
    found = pair(dict.fromkeys(configured), {}, [A, B], evidence=in_slots(slots))
    assert {pin.name: pin.mac for pin in found.pins} == pins
    assert found.by_order == []


def test_an_address_in_the_configuration_counts_more_than_a_slot() -> None:
    found = pair({"ens160": A, "ens192": None}, {}, [A, B], evidence=in_slots({A: 192, B: 160}))
    assert {pin.name: pin.mac for pin in found.pins} == {"ens160": A, "ens192": B}


def test_the_order_of_vmware() -> None:
    names = ["ens256", "ens161", "ens160", "ens193", "ens224", "ens192"]
    assert in_order(names) == ["ens160", "ens192", "ens224", "ens256", "ens161", "ens193"]
    assert in_order(["ens33", "ens160"]) is None
    assert in_order(["ens160", "eth0"]) is None
    assert in_order(["ens288", "ens160"]) is None


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "a\n", "a\0", "x" * 16, "eth0:1", "eth0.1", "lo", "br0", "é"]
)
def test_what_is_no_name_of_a_nic(name: str) -> None:
    assert nic_name(name) is None


@pytest.mark.parametrize("name", ["eth0", "ens192", "enp0s3", "lan", "x" * 15, "bright", "loft"])
def test_what_is_a_name_of_a_nic(name: str) -> None:
    assert nic_name(name) == name


def test_mac_addresses() -> None:
    assert mac_address(' "00-50-56-AA-00-01" ') == A
    for text in (None, "", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01", A + "\n:00", A[:-1]):
        assert mac_address(text) is None


@given(PIECES)
def test_no_reader_raises_and_none_gives_what_is_no_name(data: bytes) -> None:
    for read in READERS:
        found = read(data)
        if isinstance(found, Reading):
            assert all(nic_name(name) for name in found.nics)
            assert all(mac is None or mac_address(mac) == mac for mac in found.nics.values())


@given(
    st.dictionaries(st.sampled_from(["eth0", "eth1", "ens160", "ens192", "lan"]), st.sampled_from([None, A, B])),
    st.dictionaries(st.sampled_from(["eth0", "eth1", "lan"]), st.sampled_from([A, B])),
    st.lists(st.sampled_from([None, A, B, C]), max_size=4),
)
def test_no_address_is_given_to_two_names(
    configured: dict[str, str | None], pinned: dict[str, str], source: list[str | None]
) -> None:
    found = pair(configured, dict(pinned), source)
    macs = [pin.mac for pin in found.pins]
    assert len(set(macs)) == len(macs)
    assert not set(macs) & set(pinned.values())
    assert set(macs) <= set(source)
