# SPDX-License-Identifier: GPL-2.0-or-later
"""The addresses that were asked for: in each kind of file, in a file that is there and in a new one."""

from __future__ import annotations

import configparser

import pytest
import yaml

from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.network.addresses import ifcfg, ifupdown, keyfile, netplan, networkd
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted, wanted
from v2v_core.api import StaticAddress

A, B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
FOUR = StaticAddress(mac=A, address="192.0.2.77", gateway="192.0.2.1", prefix=24, nameservers=("192.0.2.53",))
SIX = StaticAddress(mac=A, address="2001:db8::77", gateway="fe80::1", prefix=64, nameservers=("2001:db8::53",))


def want(*addresses: StaticAddress, name: str | None = "eth0") -> Wanted:
    ((found,), _notes) = wanted(addresses)
    return Wanted(
        mac=found.mac,
        addresses=found.addresses,
        gateways=found.gateways,
        nameservers=found.nameservers,
        names=(name,) if name else (),
    )


def test_what_is_wanted_is_sorted_by_nic() -> None:
    found, notes = wanted([FOUR, SIX, StaticAddress(mac=B, address="192.0.2.9"), FOUR])
    assert [(one.mac, one.families) for one in found] == [(A, (4, 6)), (B, (4,))]
    assert found[0].addresses_of(4) == ("192.0.2.77/24",)
    assert (found[0].gateway_of(4), found[0].gateway_of(6)) == ("192.0.2.1", "fe80::1")
    assert found[1].addresses_of(4) == ("192.0.2.9/24",)
    (note,) = notes
    assert "has no prefix length: using 24" in note


def test_gateways_that_cannot_be_are_noted() -> None:
    other = StaticAddress(mac=A, address="192.0.2.78", gateway="198.51.100.1", prefix=24)
    found, notes = wanted([FOUR, other])
    assert found[0].gateway_of(4) == "192.0.2.1"
    assert [note for note in notes if "second gateway" in note]
    assert [note for note in notes if "not in the network" in note]


KEYFILE = f"""\
# the LAN
[connection]
id=Wired
type=ethernet
interface-name=eth0

[ethernet]
mac-address={A.upper()}
mtu=9000

[ipv4]
method=manual
address1=198.51.100.7/24,198.51.100.1
addresses=198.51.100.8/24
gateway=198.51.100.1
dns=9.9.9.9;
dns-search=example.org;
route1=10.0.0.0/8,198.51.100.2

[ipv6]
method=auto
"""


def test_keyfile() -> None:
    new = keyfile.edit(KEYFILE.encode(), want(FOUR))
    assert (
        new
        == KEYFILE.replace(
            "method=manual\naddress1=198.51.100.7/24,198.51.100.1\naddresses=198.51.100.8/24\ngateway=198.51.100.1\n"
            "dns=9.9.9.9;\ndns-search=example.org;\nroute1=10.0.0.0/8,198.51.100.2\n",
            "dns-search=example.org;\nroute1=10.0.0.0/8,198.51.100.2\n"
            "method=manual\naddress1=192.0.2.77/24,192.0.2.1\ndns=192.0.2.53;\n",
        ).encode()
    )
    both = keyfile.edit(KEYFILE.encode(), want(FOUR, SIX))
    assert both is not None
    assert both.endswith(b"[ipv6]\nmethod=manual\naddress1=2001:db8::77/64,fe80::1\ndns=2001:db8::53;\n")


def test_keyfile_of_another_nic_or_of_any() -> None:
    assert keyfile.edit(KEYFILE.replace(A.upper(), B).encode(), want(FOUR)) is None
    assert keyfile.edit(b"[connection]\ntype=ethernet\n", want(FOUR)) is None
    assert keyfile.edit(b"[connection]\ntype=bridge\ninterface-name=eth0\n", want(FOUR)) is None
    for key in ("master=br0", "controller=br0"):
        with pytest.raises(NotEditable, match="port"):
            keyfile.edit(KEYFILE.replace("id=Wired", key).encode(), want(FOUR))


def test_new_keyfile() -> None:
    path, data = keyfile.new(want(FOUR, name=None))
    assert path == "/etc/NetworkManager/system-connections/v2v-52540000000a.nmconnection"
    parsed = configparser.ConfigParser()
    parsed.read_string(data.decode())
    assert parsed["ethernet"]["mac-address"] == A.upper()
    assert dict(parsed["ipv4"]) == {"method": "manual", "address1": "192.0.2.77/24,192.0.2.1", "dns": "192.0.2.53;"}
    assert dict(parsed["ipv6"]) == {"method": "auto"}
    assert keyfile.edit(data, want(FOUR, name=None)) == data


NETWORK = """\
[Match]
Name=eth0

[Network]
DHCP=yes
Address=198.51.100.7/24
Address=2001:db8::1/64
Gateway=198.51.100.1
VLAN=v7
DNS=9.9.9.9

[Address]
Address=198.51.100.9/24

[Route]
Gateway=198.51.100.1

[Route]
Destination=10.0.0.0/8
Gateway=198.51.100.2
"""


def test_networkd() -> None:
    assert networkd.edit(NETWORK.encode(), want(FOUR)) == (
        b"[Match]\nName=eth0\n\n[Network]\nDHCP=ipv6\nAddress=2001:db8::1/64\nVLAN=v7\n"
        b"Address=192.0.2.77/24\nGateway=192.0.2.1\nDNS=192.0.2.53\n\n"
        b"[Route]\nDestination=10.0.0.0/8\nGateway=198.51.100.2\n"
    )
    assert networkd.edit(NETWORK.replace("eth0", "eth1").encode(), want(FOUR)) is None
    assert networkd.edit(NETWORK.replace("Name=eth0", "Name=en* eth*").encode(), want(FOUR)) is None
    for old, new in (("VLAN=v7", "Bridge=br0"), ("Name=eth0", "Name=eth0 eth1")):
        with pytest.raises(NotEditable):
            networkd.edit(NETWORK.replace(old, new).encode(), want(FOUR))


def test_new_network() -> None:
    path, data = networkd.new(want(FOUR, name=None))
    assert path == "/etc/systemd/network/05-v2v-52540000000a.network"
    assert f"[Match]\nMACAddress={A}\nType=ether\n".encode() in data
    assert networkd.edit(data, want(FOUR, name=None)) == data


IFCFG = f"""\
DEVICE=eth0
HWADDR={A.upper()}
BOOTPROTO=dhcp
# the old one
IPADDR=198.51.100.7   # here
NETMASK=255.255.255.0
IPADDR2=198.51.100.8
GATEWAY='198.51.100.1'
DNS1=9.9.9.9
DNS2=9.9.9.10
IPV6INIT=no
ONBOOT=yes
"""


def test_ifcfg_of_red_hat() -> None:
    path = f"{ifcfg.REDHAT}/ifcfg-eth0"
    assert (
        ifcfg.edit_redhat(IFCFG.encode(), path, want(FOUR))
        == (
            f"DEVICE=eth0\nHWADDR={A.upper()}\nBOOTPROTO=none\n# the old one\nIPV6INIT=no\nONBOOT=yes\n"
            "IPADDR=192.0.2.77\nPREFIX=24\nGATEWAY=192.0.2.1\nDNS1=192.0.2.53\n"
        ).encode()
    )
    six = ifcfg.edit_redhat(IFCFG.encode(), path, want(SIX))
    assert six is not None
    assert b"IPADDR=198.51.100.7   # here\n" in six
    values = {name: shell.value(six, name) for name in ("IPV6INIT", "IPV6ADDR", "IPV6_DEFAULTGW", "IPV6_AUTOCONF")}
    assert list(values.values()) == ["yes", "2001:db8::77/64", "fe80::1", "no"]
    assert ifcfg.edit_redhat(IFCFG.replace(A.upper(), B).encode(), path, want(FOUR)) is None
    assert ifcfg.edit_redhat(IFCFG.replace("eth0", "eth0:1").encode(), path, want(FOUR, name="eth0:1")) is None
    with pytest.raises(NotEditable, match="port"):
        ifcfg.edit_redhat(f"{IFCFG}BRIDGE=br0\n".encode(), path, want(FOUR))


def test_new_ifcfg_of_red_hat() -> None:
    more = StaticAddress(mac=A, address="192.0.2.78", prefix=25)
    path, data = ifcfg.new_redhat(want(FOUR, more, name=None))
    assert path == f"{ifcfg.REDHAT}/ifcfg-v2v-52540000000a"
    values = {name: shell.value(data, name) for name in ("HWADDR", "DEVICE", "IPADDR", "PREFIX", "IPADDR1", "PREFIX1")}
    assert list(values.values()) == [A.upper(), None, "192.0.2.77", "24", "192.0.2.78", "25"]
    assert ifcfg.edit_redhat(data, path, want(FOUR, more, name=None)) is not None


def test_ifcfg_of_suse() -> None:
    path = f"{ifcfg.SUSE}/ifcfg-eth0"
    old = b"BOOTPROTO='dhcp'\nSTARTMODE='auto'\nIPADDR='198.51.100.7/24'\nIPADDR_x='2001:db8::1'\nPREFIXLEN_x='64'\n"
    assert ifcfg.edit_suse(old, path, want(FOUR)) == (
        b"BOOTPROTO=static\nSTARTMODE='auto'\nIPADDR=192.0.2.77/24\nIPADDR_1=2001:db8::1/64\n"
    )
    assert ifcfg.edit_suse(old, f"{ifcfg.SUSE}/ifcfg-eth1", want(FOUR)) is None
    made = ifcfg.new_suse(want(FOUR))
    assert made == (path, b"STARTMODE=auto\nBOOTPROTO=static\nIPADDR=192.0.2.77/24\n")
    assert ifcfg.new_suse(want(FOUR, name=None)) is None
    routes = b"default 198.51.100.1 - -\ndefault fe80::2 - -\ndefault 10.0.0.1 - eth7\n10.0.0.0/8 198.51.100.2\n"
    assert ifcfg.suse_routes(routes, want(FOUR)) == b"# " + routes


NETPLAN = """\
# made by the installer
network:
  version: 2
  ethernets:
    eth0:   # the LAN
      dhcp4: true
      addresses:
        - 198.51.100.7/24   # old
        - "2001:db8::1/64"
      gateway4: 198.51.100.1

      mtu: 9000
      routes:
      - to: default
        via: 198.51.100.1
      - to: 10.0.0.0/8
        via: 198.51.100.2
    eth1: {dhcp4: true}
"""


def test_netplan() -> None:
    new = netplan.edit(NETPLAN.encode(), want(FOUR))
    assert new is not None
    assert b"# made by the installer" in new
    assert b"eth0:   # the LAN" in new
    assert b"      mtu: 9000\n" in new
    document = yaml.safe_load(new)
    assert document["network"]["ethernets"]["eth0"] == {
        "dhcp4": False,
        "addresses": ["2001:db8::1/64", "192.0.2.77/24"],
        "mtu": 9000,
        "routes": [{"to": "10.0.0.0/8", "via": "198.51.100.2"}, {"to": "0.0.0.0/0", "via": "192.0.2.1"}],
        "nameservers": {"addresses": ["192.0.2.53"]},
    }
    assert document["network"]["ethernets"]["eth1"] == {"dhcp4": True}
    assert netplan.edit(new, want(FOUR)) == new


@pytest.mark.parametrize(
    "text",
    [
        "network:\n  ethernets:\n    eth0:\n      dhcp4: true\n  bridges:\n    br0:\n      interfaces: [eth0]\n",
        "# a\x85network:\n  ethernets:\n    eth0:\n      dhcp4: true\n",
        "network:\n  ethernets:\n    eth0: true\n",
    ],
)
def test_netplan_that_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(NotEditable):
        netplan.edit(text.encode(), want(FOUR))


def test_netplan_on_one_line() -> None:
    for text in (
        "network: {ethernets: {eth0: {dhcp4: true}}} # c\n",
        "network:\n  ethernets:\n    eth0: {dhcp4: true} # c\n",
    ):
        new = netplan.edit(text.encode(), want(FOUR))
        assert new is not None
        settings = yaml.safe_load(new)["network"]["ethernets"]["eth0"]
        assert (settings["dhcp4"], settings["addresses"]) == (False, ["192.0.2.77/24"])
        assert new.endswith(b" # c\n")


def test_netplan_of_other_nics() -> None:
    for text in (
        "network:\n  ethernets:\n    eth1:\n      dhcp4: true\n",
        f"network:\n  ethernets:\n    eth0:\n      match:\n        macaddress: '{B}'\n",
        "network: [\n",
        "",
    ):
        assert netplan.edit(text.encode(), want(FOUR)) is None
    by_mac = f"network:\n  ethernets:\n    lan:\n      match:\n        macaddress: '{A}'\n      set-name: lan"
    new = netplan.edit(by_mac.encode(), want(FOUR, name=None))
    assert new is not None
    assert yaml.safe_load(new)["network"]["ethernets"]["lan"]["addresses"] == ["192.0.2.77/24"]


def test_empty_netplan_of_a_nic() -> None:
    new = netplan.edit(b"network:\n  ethernets:\n    eth0:\n    eth1: {}\n", want(SIX))
    assert new is not None
    assert yaml.safe_load(new)["network"]["ethernets"] == {
        "eth0": {
            "dhcp6": False,
            "addresses": ["2001:db8::77/64"],
            "routes": [{"to": "::/0", "via": "fe80::1"}],
            "nameservers": {"addresses": ["2001:db8::53"]},
        },
        "eth1": {},
    }


def test_new_netplan() -> None:
    path, data = netplan.new(want(FOUR, name=None))
    assert path == "/etc/netplan/90-v2v-52540000000a.yaml"
    (settings,) = yaml.safe_load(data)["network"]["ethernets"].values()
    assert settings["match"] == {"macaddress": A}
    assert settings["addresses"] == ["192.0.2.77/24"]
    assert netplan.edit(data, want(FOUR, name=None)) == data


INTERFACES = """\
# the loopback
auto lo
iface lo inet loopback

allow-hotplug eth0
# the LAN
iface eth0 inet static
\taddress 198.51.100.7/24
\tgateway 198.51.100.1
\tup ip route add 10.0.0.0/8 \\
\t   via 198.51.100.2
\tdns-nameservers 9.9.9.9

iface eth0 inet6 auto

iface eth1 inet dhcp
"""


def test_interfaces() -> None:
    assert (
        ifupdown.edit(INTERFACES.encode(), want(FOUR))
        == INTERFACES.replace(
            "\taddress 198.51.100.7/24\n\tgateway 198.51.100.1\n",
            "\taddress 192.0.2.77\n\tnetmask 255.255.255.0\n\tgateway 192.0.2.1\n\tdns-nameservers 192.0.2.53\n",
        )
        .replace("\tdns-nameservers 9.9.9.9\n", "")
        .encode()
    )
    six = ifupdown.edit(INTERFACES.encode(), want(SIX))
    assert (
        six
        == INTERFACES.replace(
            "iface eth0 inet6 auto\n",
            "iface eth0 inet6 static\n    address 2001:db8::77\n    netmask 64\n    gateway fe80::1\n"
            "    dns-nameservers 2001:db8::53\n",
        ).encode()
    )
    assert ifupdown.edit(INTERFACES.encode(), want(FOUR, name="eth2")) is None
    assert ifupdown.edit(INTERFACES.encode(), want(FOUR, name=None)) is None


def test_interfaces_with_more_and_fewer_addresses_than_before() -> None:
    more = StaticAddress(mac=A, address="192.0.2.78", prefix=24)
    new = ifupdown.edit(b"auto eth0\niface eth0 inet dhcp", want(FOUR, more))
    assert new == (
        b"auto eth0\niface eth0 inet static\n    address 192.0.2.77\n    netmask 255.255.255.0\n    gateway 192.0.2.1\n"
        b"    dns-nameservers 192.0.2.53\niface eth0 inet static\n    address 192.0.2.78\n    netmask 255.255.255.0\n"
    )
    fewer = ifupdown.edit(new, want(more))
    assert fewer is not None
    assert fewer.count(b"\niface eth0 inet static\n") == 1
    assert b"192.0.2.77" not in fewer


@pytest.mark.parametrize("end", ["\\", "\n\\", "\n\\\n", "\n up echo a \\", "\n up echo a \\\n", "\n# x \\"])
@pytest.mark.parametrize("start", ["iface eth0 inet dhcp", "iface eth0 inet dhcp\niface eth1 inet dhcp"])
def test_what_is_added_to_interfaces_does_not_continue_the_last_line(start: str, end: str) -> None:
    more = StaticAddress(mac=A, address="192.0.2.78", prefix=24)
    old = (start + end).encode()
    new = ifupdown.edit(old, want(FOUR, more))
    plain = ifupdown.edit(start.encode(), want(FOUR, more))
    assert new is not None
    assert plain is not None

    def read(data: bytes) -> list[list[str]]:
        lines = data.replace(b"\\\n", b" ").decode().split("\n")
        return [line.split() for line in lines if line.split() and line.split()[0] not in {"up", "#", "\\"}]

    assert read(new) == read(plain)
    assert read(ifupdown.added(old, want(FOUR, name="eth9")) or b"")[-6:-4] == [
        ["auto", "eth9"],
        ["iface", "eth9", "inet", "static"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        "iface eth0 inet manual\niface br0 inet dhcp\n bridge_ports eth0\n",
        "iface eth0 inet dhcp\n bond-master bond0\n",
    ],
)
def test_interfaces_of_a_port_are_refused(text: str) -> None:
    with pytest.raises(NotEditable, match="port"):
        ifupdown.edit(text.encode(), want(FOUR))


def test_interfaces_that_do_not_know_the_nic() -> None:
    assert ifupdown.added(b"auto lo\niface lo inet loopback\n", want(FOUR)) == (
        b"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n    address 192.0.2.77\n"
        b"    netmask 255.255.255.0\n    gateway 192.0.2.1\n    dns-nameservers 192.0.2.53\n"
    )
    assert ifupdown.added(b"", want(FOUR, name=None)) is None


def test_what_is_added_to_a_section_does_not_continue_its_last_line() -> None:
    new = networkd.edit(b"[Match]\nName=eth0\n\n[Network]\nDomains=a \\\n\n[Link]\nMTUBytes=9000\n", want(FOUR))
    assert new is not None
    assert new.startswith(b"[Match]\nName=eth0\n\n[Network]\nDomains=a \\\n\n")
    assert b"\nAddress=192.0.2.77/24\n" in new


def test_resolv_conf() -> None:
    old = b"search example.org\nnameserver 9.9.9.9\nnameserver 9.9.9.10\noptions edns0\n\n"
    assert ifupdown.resolv_conf(old, want(FOUR)) == b"search example.org\noptions edns0\nnameserver 192.0.2.53\n"


def test_variables_are_taken_out_with_their_lines() -> None:
    import re

    old = b"A=1\n  B='x\ny' # c\nexport C=3\nD=4; E=5\nB=2"
    assert shell.remove(old, re.compile("[BCD]")) == b"A=1\nD=; E=5\n"
