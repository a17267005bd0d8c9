# SPDX-License-Identifier: GPL-2.0-or-later
"""The readers and writers of network configuration: anything can be read; what they do not know is ignored."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.linux.network import ifcfg, ifupdown, ini, netplan, udev_rules
from v2v_convert_guestfs.linux.network.addresses import ifcfg as ifcfg_addresses
from v2v_convert_guestfs.linux.network.addresses import ifupdown as ifupdown_addresses
from v2v_convert_guestfs.linux.network.addresses import keyfile, networkd
from v2v_convert_guestfs.linux.network.addresses import netplan as netplan_addresses
from v2v_convert_guestfs.linux.network.keep_names import link_file, udev_rule
from v2v_convert_guestfs.linux.network.names import Reading, nic_name
from v2v_convert_guestfs.linux.network.pairing import Pin
from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.wanted_addresses import NotEditable, Wanted, wanted
from v2v_core.api import StaticAddress

READERS: dict[str, Callable[[bytes], object]] = {
    "interfaces": ifupdown.interfaces,
    "netplan": netplan.netplan,
    "keyfile": ini.keyfile,
    "network": ini.network,
    "netdev": ini.netdev,
    "link": ini.link,
    "ifcfg of Red Hat": lambda data: ifcfg.ifcfg(data, "/etc/sysconfig/network-scripts/ifcfg-eth0"),
    "ifcfg of SUSE": lambda data: ifcfg.ifcfg(data, "/etc/sysconfig/network/ifcfg-eth0"),
    "rules": udev_rules.rules,
}
MACS = st.integers(0, 2**40 - 1).map(
    lambda number: ":".join(f"{byte:02x}" for byte in b"\x02" + number.to_bytes(5, "big"))
)
NICS = st.from_regex(r"(?:eth|ens|enp|lan|net)[0-9]{1,3}", fullmatch=True)
#: Bytes on one line that mean nothing to anybody.
NOISE = st.binary(max_size=20).map(lambda data: data.translate(None, b"\n\r\\"))


def comments(mark: bytes) -> st.SearchStrategy[list[bytes]]:
    return st.lists(st.one_of(NOISE.map(lambda data: mark + data), st.just(b""), st.just(b" \t")), max_size=3)


def with_noise(draw: st.DrawFn, lines: list[bytes], noise: st.SearchStrategy[list[bytes]]) -> bytes:
    """Put lines that say nothing before, between and after those that do."""
    mixed = [line for known in lines for line in (*draw(noise), known)]
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    return end.join([*mixed, *draw(noise)]) + draw(st.sampled_from([b"", end]))


@pytest.mark.parametrize("name", READERS)
@given(data=st.binary(max_size=300))
def test_anything_can_be_read(name: str, data: bytes) -> None:
    found = READERS[name](data)
    assert READERS[name](data) == found
    if isinstance(found, Reading):
        assert all(nic_name(nic) == nic for nic in found.nics)
        assert all(mac_address(mac) == mac for mac in [*found.nics.values(), *found.matched] if mac is not None)
        assert all(note.isascii() and note.isprintable() for note in found.notes)


@st.composite
def an_ifcfg(draw: st.DrawFn) -> tuple[bytes, str, str | None]:
    name, mac = draw(NICS), draw(st.one_of(st.none(), MACS))
    quote = draw(st.sampled_from(["", '"', "'"]))
    said = mac if draw(st.booleans()) or mac is None else mac.upper()
    lines = [f"DEVICE={quote}{name}{quote}", *([f"HWADDR={quote}{said}{quote}"] if mac else [])]
    others = [
        "BOOTPROTO=static",
        "IPADDR='192.0.2.1/24'",
        "ONBOOT=yes # HWADDR=1",
        'NAME="System eth9"',
        "X_DEVICE=br0",
    ]
    lines = draw(st.permutations([*lines, *draw(st.lists(st.sampled_from(others), unique=True))]))
    return with_noise(draw, [line.encode() for line in lines], comments(b"#")), name, mac


@given(an_ifcfg())
def test_ifcfg_is_read_whatever_else_it_says(made: tuple[bytes, str, str | None]) -> None:
    data, name, mac = made
    for place in ("/etc/sysconfig/network-scripts/ifcfg-other", "/etc/sysconfig/network/ifcfg-other"):
        assert ifcfg.ifcfg(data, place) == Reading({name: mac})


@st.composite
def sections(draw: st.DrawFn, known: dict[str, list[str]]) -> bytes:
    """A file with these sections in any order, others between them, and other keys in them."""
    other = draw(
        st.lists(st.sampled_from(["[Other]\nName=br0\nMACAddress=x", "[ipv4]\nmethod=auto", "[]\n="]), max_size=2)
    )
    blocks = [f"[{section}]\n" + "\n".join(draw(st.permutations(lines))) for section, lines in known.items()]
    text = "\n".join(draw(st.permutations([*blocks, *other])))
    return with_noise(draw, text.encode().split(b"\n"), comments(b"#"))


@given(st.data(), NICS, st.one_of(st.none(), MACS))
def test_keyfile_is_read_whatever_else_it_says(data: st.DataObject, name: str, mac: str | None) -> None:
    ethernet = [f"mac-address={mac.upper()}"] if mac else []
    made = data.draw(
        sections(
            {
                "connection": ["id=Wired", "type=ethernet", f"interface-name = {name}", "autoconnect=true"],
                "ethernet": [*ethernet, "mtu=9000"],
            }
        )
    )
    assert ini.keyfile(made) == Reading({name: mac})


@given(st.data(), NICS, st.one_of(st.none(), MACS))
def test_network_is_read_whatever_else_it_says(data: st.DataObject, name: str, mac: str | None) -> None:
    match = [f"Name={name}", *([f"MACAddress={mac}"] if mac else [])]
    assert ini.network(data.draw(sections({"Match": match, "Network": ["DHCP=yes", "Bridge=br0"]}))) == Reading(
        {name: mac}
    )


@given(st.data(), NICS, MACS)
def test_link_is_read_whatever_else_it_says(data: st.DataObject, name: str, mac: str) -> None:
    made = data.draw(
        sections({"Match": [f"MACAddress={mac}", "Type=ether"], "Link": [f"Name={name}", "MTUBytes=9000"]})
    )
    assert ini.link(made) == ini.Link((mac,), name)


@given(st.data(), st.lists(NICS, unique=True, min_size=1, max_size=3))
def test_interfaces_are_read_whatever_else_they_say(data: st.DataObject, names: list[str]) -> None:
    options = st.lists(
        st.sampled_from(["address 192.0.2.1/24", "up ip route add x", "dns-nameservers a b", "x"]), max_size=3
    )
    lines = [
        line
        for name in names
        for line in (
            f"{data.draw(st.sampled_from(['auto', 'allow-hotplug', 'allow_auto']))} {name}",
            f"iface {name} inet static",
            *(f"\t{option}" for option in data.draw(options)),
        )
    ]

    @st.composite
    def made(draw: st.DrawFn) -> bytes:
        return with_noise(draw, [line.encode() for line in lines], comments(b"#"))

    assert ifupdown.interfaces(data.draw(made())) == Reading(dict.fromkeys(names))


@given(
    st.lists(
        st.tuples(NICS, st.one_of(st.none(), MACS)), unique_by=(lambda pair: pair[0], lambda pair: pair[1] or pair[0])
    )
)
def test_netplan_is_read_whatever_else_it_says(nics: list[tuple[str, str | None]]) -> None:
    text = "# a comment\nnetwork:\n  version: 2\n  wifis: {wlan0: {dhcp4: true}}\n  ethernets:\n    renderer: x\n"
    for name, mac in nics:
        text += f"    {name}: # eth9\n      dhcp4: no\n      nameservers: {{addresses: [192.0.2.1]}}\n"
        text += f"      match:\n        macaddress: '{mac.upper()}'\n" if mac else ""
    found = netplan.netplan(text.encode())
    assert found.nics == {name: None for name, mac in nics if mac is None}
    assert found.matched == {mac for _, mac in nics if mac is not None}


@given(NICS, MACS, st.text(max_size=20))
def test_what_is_written_for_a_name_is_read_again(name: str, mac: str, why: str) -> None:
    pin = Pin(name, mac, why)
    assert ini.link(link_file(pin)) == ini.Link((mac,), name, False)
    assert udev_rules.rules(udev_rule(pin)).nics == {name: mac}
    for data in (link_file(pin), udev_rule(pin)):
        assert data.isascii()
        assert data.endswith(b"\n")


NIC_A = "02:00:00:00:00:0a"
Editor = Callable[[bytes, Wanted], bytes | None]
EDITORS: dict[str, Editor] = {
    "interfaces": ifupdown_addresses.edit,
    "netplan": netplan_addresses.edit,
    "keyfile": keyfile.edit,
    "network": networkd.edit,
    "ifcfg of Red Hat": lambda data, one: ifcfg_addresses.edit_redhat(
        data, f"{ifcfg_addresses.REDHAT}/ifcfg-eth0", one
    ),
    "ifcfg of SUSE": lambda data, one: ifcfg_addresses.edit_suse(data, f"{ifcfg_addresses.SUSE}/ifcfg-eth0", one),
}
HOSTS = st.one_of(st.ip_addresses(v=4, network="198.51.100.0/24"), st.ip_addresses(v=6, network="2001:db8::/64"))


@st.composite
def anything_wanted(draw: st.DrawFn, name: str = "eth0") -> Wanted:
    hosts = draw(st.lists(HOSTS, min_size=1, max_size=3, unique=True))
    given = [
        StaticAddress(
            mac=NIC_A,
            address=str(host),
            gateway=draw(st.sampled_from([None, "198.51.100.1" if host.version == 4 else "fe80::1"])),
            prefix=draw(st.integers(1, host.max_prefixlen)),
            nameservers=tuple(map(str, draw(st.lists(HOSTS, max_size=2)))),
        )
        for host in hosts
    ]
    ((found,), _notes) = wanted(given)
    return replace(found, names=(name,))


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                *(b"iface eth0 inet static\n", b"iface eth0 inet6 auto\n", b"auto eth0\n", b"  address 1\n", b"\\\n"),
                *(b"network:\n  ethernets:\n", b"    eth0:\n", b"      dhcp4: true\n", b"      addresses: [", b"]\n"),
                *(b"      routes:\n      - to: default\n", b"      addresses:\n        - 192.0.2.1/24\n", b"# x\n"),
                *(b"[Match]\nName=eth0\n", b"[Network]\n", b"Address=192.0.2.1/24\n", b"DHCP=yes\n", b"[Route]\n"),
                *(b"[connection]\ntype=ethernet\n", b"interface-name=eth0\n", b"[ipv4]\n", b"address1=1\n", b"\r\n"),
                *(b"DEVICE=eth0\n", b"IPADDR='192.0.2.1'\n", b"IPADDR_1=2001:db8::1\n", b'"', b"'", b"HWADDR=", b"\n"),
                NIC_A.encode(),
            ]
        ),
    ),
    max_size=20,
).map(b"".join)


def edited(name: str, data: bytes, one: Wanted) -> bytes | None:
    try:
        return EDITORS[name](data, one)
    except NotEditable as err:
        assert str(err).isprintable()
        return None


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES, one=anything_wanted())
def test_editing_twice_is_editing_once(name: str, data: bytes, one: Wanted) -> None:
    once = edited(name, data, one)
    if once is not None:
        assert edited(name, once, one) == once


@pytest.mark.parametrize("name", EDITORS)
@given(data=st.one_of(PIECES, st.binary(max_size=300)), one=anything_wanted("eth7"))
def test_file_of_another_nic_is_left_alone(name: str, data: bytes, one: Wanted) -> None:
    assert edited(name, data.replace(NIC_A.encode(), b""), one) is None


#: What an address is said with, in any of the files.
ADDRESSING = re.compile(
    rb"\s*(?:addr|gateway|netmask|method|dns|DNS|IP|PREFIX|NETMASK|NETWORK|BROADCAST|BOOTPROTO|Address|Gateway|DHCP"
    rb"|dhcp|routes|- |nameservers|iface|network|broadcast|pointopoint|eth0: |\[Address|\[Route|via|GATEWAY"
    rb"|export |# )"
)


@pytest.mark.parametrize("name", EDITORS)
@given(data=PIECES, one=anything_wanted())
def test_what_is_no_addressing_stays_in_its_order(name: str, data: bytes, one: Wanted) -> None:
    new = edited(name, data.replace(b"[Route]", b"[Link]"), one)
    if new is None or b"'" in data or b'"' in data or b"\\" in data:
        return
    left = iter(new.split(b"\n"))
    for line in data.replace(b"[Route]", b"[Link]").split(b"\n"):
        if line.strip() and not ADDRESSING.match(line):
            # a stanza that is too many is turned into a comment
            assert any(found in {line, b"# " + line} for found in left), line


@st.composite
def ordinary(draw: st.DrawFn) -> tuple[str, bytes]:
    """A plausible file about eth0, with noise."""
    other = draw(st.lists(st.sampled_from([b"mtu=9000", b"X=1", b"zone=public"]), max_size=2))
    kind = draw(st.sampled_from(sorted(EDITORS)))
    lines: dict[str, list[bytes]] = {
        "interfaces": [b"auto eth0", b"iface eth0 inet dhcp", b"\tmtu 9000", b"iface eth1 inet dhcp"],
        "netplan": [b"network:", b"  ethernets:", b"    eth0:", b"      mtu: 9000", b"    eth1:", b"      dhcp4: yes"],
        "keyfile": [b"[connection]", b"type=ethernet", b"interface-name=eth0", *other, b"[ipv4]", b"method=auto"],
        "network": [b"[Match]", b"Name=eth0", b"[Network]", *other, b"DHCP=yes", b"[Link]", b"RequiredForOnline=no"],
        "ifcfg of Red Hat": [b"DEVICE=eth0", *other, b"BOOTPROTO=dhcp", b"ONBOOT=yes"],
        "ifcfg of SUSE": [b"BOOTPROTO='dhcp'", *other, b"STARTMODE='auto'"],
    }
    noise = st.lists(st.sampled_from([b"", b"# a comment", b"#x: [", b"# don't"]), max_size=2)
    mixed = [line for known in lines[kind] for line in (*draw(noise), known)]
    return kind, b"\n".join(mixed) + draw(st.sampled_from([b"", b"\n", b"\n\n"]))


@given(ordinary(), anything_wanted())
def test_what_is_asked_for_is_in_the_file(made: tuple[str, bytes], one: Wanted) -> None:
    name, data = made
    new = edited(name, data, one)
    assert new is not None
    for address in one.addresses:
        assert str(address.ip).encode() in new
    for gateway in one.gateways:
        assert str(gateway).encode() in new or name == "ifcfg of SUSE"
    kept = [line for line in data.split(b"\n") if line.startswith(b"#") or b"eth1" in line or b"mtu" in line]
    left = iter(new.split(b"\n"))
    assert all(any(found == line for found in left) for line in kept)
    assert READERS[name](new) == READERS[name](data)


#: Within the limits that the readers are given.
LONG = [
    *(
        piece * (64 * 1024 // len(piece))
        for piece in (b" ", b"\n", b"\t \\\n", b'"', b"'", b"\\", b"=", b"a", b"#", b"a=")
    ),
    *(
        piece * (64 * 1024 // len(piece))
        for piece in (b"[", b"{", b"[a,", b"{a: ", b"[{},", b"- ", b"? ", b"a:\n ", b"&a ")
    ),
    *(
        piece * (64 * 1024 // len(piece))
        for piece in (b"[Match]\n", b"Name=eth0\n", b"iface ", b"auto eth0\n", b"!!a ")
    ),
    *(
        piece * (64 * 1024 // len(piece))
        for piece in (b'NAME="', b'SUBSYSTEM=="net"', b'ATTRS{a}=="', b"BONDING_SLAVE_0=")
    ),
    b"\n".join(b" " * depth + b"a:" for depth in range(350)),
    b"network: {ethernets: {" + b"eth0: {}, " * 6000 + b"}}",
]


@pytest.mark.parametrize("data", LONG, ids=lambda data: ascii(data[:12]))
def test_no_file_takes_long(data: bytes) -> None:
    for read in READERS.values():
        started = time.process_time()
        read(data)
        # what grows with the square of the length takes minutes
        assert time.process_time() - started < 10
    ((one,), _notes) = wanted([StaticAddress(mac=NIC_A, address="192.0.2.1", prefix=24)])
    for name in EDITORS:
        started = time.process_time()
        edited(name, data, replace(one, names=("eth0",)))
        assert time.process_time() - started < 10
