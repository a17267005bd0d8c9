# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of NICs in a guest: what is looked at, what is written, what is said. A simulator stands for the appliance."""

from __future__ import annotations

from pathlib import Path

import pytest

from network_guest import A, B, Simulator, grub
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs import cpio
from v2v_convert_guestfs.linux.initramfs.examine import examine_file
from v2v_convert_guestfs.linux.initramfs.image import read_image, write_image
from v2v_convert_guestfs.linux.initramfs.update import InitramfsWork
from v2v_convert_guestfs.linux.kernels import Kernel, Modules
from v2v_convert_guestfs.linux.network import keep_names
from v2v_core.api import SourceDisk, StaticAddress

INTERFACES = {"/etc/network/interfaces": "allow-hotplug ens192\niface ens192 inet dhcp\n"}
GENERATOR = "/lib/udev/rules.d/75-persistent-net-generator.rules"
LINK = "/etc/systemd/network/10-v2v-ens192.link"
RULES = "/etc/udev/rules.d/70-v2v-net.rules"


def test_a_link_file_is_written() -> None:
    guest = Simulator(INTERFACES, (A.upper(),))
    ((path, (content, why)),) = guest.examine().items()
    assert path == LINK
    assert b"[Match]\nMACAddress=00:50:56:aa:00:01\nPath=*\n\n[Link]\nName=ens192\n" in content
    assert A in why
    assert guest.warnings == []


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ({}, [LINK]),
        ({GENERATOR: "x"}, [RULES]),
        ({"/etc/udev/rules.d/80-net-setup-link.rules": "->/dev/null"}, [RULES]),
        ({"/etc/systemd/network/99-default.link": "->/dev/null"}, [LINK]),
        (grub("net.ifnames=0"), [LINK]),
        ({"/etc/udev/rules.d/70-x.rules": f'SUBSYSTEM=="net", ATTR{{address}}=="{A}", NAME="ens192"\n'}, []),
        ({"/etc/systemd/network/70-x.link": f"[Match]\nMACAddress={A}\n[Link]\nName=ens192\n"}, []),
    ],
)
def test_what_is_written(more: dict[str, str], paths: list[str]) -> None:
    guest = Simulator(INTERFACES | more, (A,))
    assert list(guest.examine()) == paths
    assert guest.warnings == []


def test_eth0_alone_needs_nothing_where_the_kernel_names_it() -> None:
    files = {"/etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n", **grub("net.ifnames=0 quiet")}
    for macs in ((A,), (None,), ()):
        guest = Simulator(files, macs)
        assert (guest.examine(), guest.warnings) == ({}, [])
    assert len(Simulator(files | grub("quiet"), (A,)).examine()) == 1


@pytest.mark.parametrize(
    ("files", "macs", "words"),
    [
        (INTERFACES, (None,), "ens192 by name, but the source does not state the MAC addresses"),
        (INTERFACES, (), "ens192 by name, but the source does not state the MAC addresses"),
        (INTERFACES, (A, B), "configures ens192, but it is unknown which"),
        ({"/etc/udev/rules.d/1.rules": 'SUBSYSTEM=="net", DRIVERS=="vmxnet3", NAME="lan"\n'}, (A,), "vmxnet3"),
        ({"/etc/systemd/network/1.link": "[Match]\nPath=pci-1\n[Link]\nName=lan\n"}, (A,), "MACAddress="),
        ({"/etc/sysconfig/network-scripts/ifcfg-eth0": f"DEVICE=eth0\nHWADDR={B}\n"}, (A,), "none of the source"),
    ],
)
def test_what_cannot_be_kept_is_said(files: dict[str, str], macs: tuple[str | None, ...], words: str) -> None:
    guest = Simulator(files, macs)
    assert guest.examine() == {}
    (warning,) = guest.warnings
    assert words in warning


def test_an_order_is_said_to_be_one() -> None:
    guest = Simulator({"/etc/network/interfaces": "auto ens192 ens160\n"}, (A, B))
    found = guest.examine()
    assert {path[-11:]: A.encode() in content for path, (content, _) in found.items()} == {
        "ens160.link": True,
        "ens192.link": False,
    }
    assert all("by the order" in why for _, why in found.values())
    assert len(guest.warnings) == 1


@pytest.mark.parametrize("macs", [(A,), (None,), ()])
def test_nothing_is_said_to_a_guest_that_configures_no_name(macs: tuple[str | None, ...]) -> None:
    guest = Simulator({"/etc/network/interfaces": "auto lo\niface lo inet loopback\n"}, macs)
    assert (guest.examine(), guest.warnings) == ({}, [])


def test_an_initramfs_with_the_driver_carries_the_names(tmp_path: Path) -> None:
    version = "6.1.0"
    kernel = Kernel(
        version=version, image="", modules_directory="", initramfs="/boot/initrd", modules=Modules(), config={}
    )
    names = DeviceNames.of([SourceDisk(index=1)], "vd")
    driver = f"usr/lib/modules/{version}/kernel/drivers/net/virtio_net.ko"
    for entries, carries in (({"init": b"", driver: b"x"}, True), ({"init": b""}, False)):
        path = tmp_path / f"initrd{carries}"
        data = b"".join(cpio.file_entry(name, text, number=i) for i, (name, text) in enumerate(entries.items(), 1))
        path.write_bytes(data + cpio.trailer(len(data)))
        work = InitramfsWork([examine_file(kernel, path, names, tmp_path)], [])
        work.carry({LINK.lstrip("/"): b"content"}, "virtio_net")
        (found,) = work.examinations
        assert bool(found.carried) is carries
        assert found.image is not None
        write_image(found.image, tmp_path / "new", found.carried)
        assert read_image(tmp_path / "new", tmp_path).read(LINK.lstrip("/")) == (b"content" if carries else None)


def test_a_nic_that_needs_a_name_gets_one_and_no_other_does() -> None:
    guest = Simulator(INTERFACES, (A, B))
    files = GuestFiles(guest.session)
    guest.files["/etc/network/interfaces"] = f"iface ens192 inet dhcp\n  hwaddress {A}\n"
    guest.files["/etc/systemd/network/70-x.link"] = f"[Match]\nMACAddress={A}\n[Link]\nName=ens192\n"
    names = keep_names.examine(guest.session, files, [A, B])
    assert names.by_mac == {A: "ens192", B: "v2v0"}
    assert list(names.files) == ["/etc/systemd/network/10-v2v-v2v0.link"]


def test_a_name_that_is_pinned_now_is_known() -> None:
    guest = Simulator(INTERFACES, (A,))
    names = keep_names.examine(guest.session, GuestFiles(guest.session), [A])
    assert (names.by_mac, list(names.files)) == ({A: "ens192"}, [LINK])


def test_nics_with_the_names_of_the_kernel_are_ordered() -> None:
    """systemd/systemd#29957: the guest's rule names them against their order, which only old versions of udev do."""
    rule = "".join(
        f'SUBSYSTEM=="net", ATTR{{address}}=="{mac}", NAME="{name}"\n' for mac, name in {A: "eth1", B: "eth0"}.items()
    )
    guest = Simulator({"/etc/udev/rules.d/70-persistent-net.rules": rule, **grub("net.ifnames=0")}, (A, B))
    assert keep_names.examine(guest.session, GuestFiles(guest.session)).order == (1, 0)
    files = {
        "/etc/sysconfig/network-scripts/ifcfg-eth0": f"DEVICE=eth0\nHWADDR={B}\n",
        "/etc/sysconfig/network-scripts/ifcfg-eth1": f"DEVICE=eth1\nHWADDR={A}\n",
    }
    guest = Simulator(files, (A, B))
    names = keep_names.examine(guest.session, GuestFiles(guest.session))
    assert (names.order, names.by_mac) == ((1, 0), {A: "eth1", B: "eth0"})


ASKED = StaticAddress(mac=A, address="192.0.2.77", gateway="192.0.2.1", prefix=24, nameservers=("192.0.2.53",))
NETWORKD = {"/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": "->/x"}
SUSE = {"/usr/sbin/wicked": "", "/etc/sysconfig/network/config": 'NETCONFIG_DNS_STATIC_SERVERS=""\n'}


@pytest.mark.parametrize(
    ("files", "paths"),
    [
        ({"/sbin/ifup": "", **INTERFACES}, {"/etc/network/interfaces"}),
        ({"/sbin/ifup": "", "/etc/network/interfaces": "auto lo\n"}, {"/etc/network/interfaces"}),
        (
            {"/sbin/ifup": "", "/etc/resolv.conf": "nameserver 9.9.9.9\n", **INTERFACES},
            {"/etc/network/interfaces", "/etc/resolv.conf"},
        ),
        ({"/sbin/ifup": "", "/etc/resolv.conf": "->../run/x", **INTERFACES}, {"/etc/network/interfaces"}),
        (NETWORKD, {"/etc/systemd/network/05-v2v-005056aa0001.network"}),
        # what is configured for a system that is not there does not help
        (NETWORKD | INTERFACES, {"/etc/network/interfaces", "/etc/systemd/network/05-v2v-005056aa0001.network"}),
        (
            {"/usr/sbin/NetworkManager": ""},
            {"/etc/NetworkManager/system-connections/v2v-005056aa0001.nmconnection"},
        ),
        (
            {"/usr/sbin/NetworkManager": "", "/sbin/ifup": "", **INTERFACES},
            {"/etc/network/interfaces"},
        ),
        ({"/usr/sbin/netplan": "", **NETWORKD}, {"/etc/netplan/90-v2v-005056aa0001.yaml"}),
        (
            {"/usr/sbin/netplan": "", "/etc/netplan/01.yaml": "network: {ethernets: {ens192: {dhcp4: true}}}\n"},
            {"/etc/netplan/01.yaml"},
        ),
        (
            {"/etc/sysconfig/network-scripts/ifup-eth": "", "/usr/sbin/NetworkManager": ""},
            {"/etc/sysconfig/network-scripts/ifcfg-v2v-005056aa0001"},
        ),
        (
            {**SUSE, "/etc/sysconfig/network/ifcfg-eth0": "BOOTPROTO=dhcp\n"},
            {f"/etc/sysconfig/network/{name}" for name in ("ifcfg-eth0", "ifroute-eth0", "config")},
        ),
        (SUSE, {f"/etc/sysconfig/network/{name}" for name in ("ifcfg-v2v0", "ifroute-v2v0", "config")}),
    ],
)
def test_an_address_is_written_for_the_system_that_reads_it(files: dict[str, str], paths: set[str]) -> None:
    guest = Simulator(files, (A,), (ASKED,))
    found = guest.addresses()
    assert set(found) == paths
    text = b"".join(found.values())
    assert b"192.0.2.77" in text
    assert b"192.0.2.53" in text
    assert guest.warnings == []


def test_two_nics_in_one_file() -> None:
    text = "iface ens192 inet dhcp\niface ens224 inet dhcp\n"
    other = StaticAddress(mac=B, address="192.0.2.78", prefix=24)
    guest = Simulator({"/sbin/ifup": "", "/etc/network/interfaces": text}, (A, B), (ASKED, other))
    (content,) = guest.addresses().values()
    assert content.index(b"192.0.2.77") < content.index(b"iface ens224 inet static") < content.index(b"192.0.2.78")


def test_a_mac_address_that_no_nic_has_is_a_warning() -> None:
    guest = Simulator({"/sbin/ifup": "", **INTERFACES}, (B,), (ASKED,))
    assert guest.addresses() == {}
    assert [text for text in guest.warnings if f"--mac {A}:ip is ignored: no NIC of the source" in text and B in text]


def test_a_port_of_a_bridge_is_a_warning_and_nothing_is_half_done() -> None:
    text = "network:\n  ethernets: {ens192: {}}\n  bridges:\n    br0: {interfaces: [ens192]}\n"
    scripts = {"/etc/sysconfig/network-scripts/ifcfg-ens192": "DEVICE=ens192\nBRIDGE=br0\n"}
    guest = Simulator({"/usr/sbin/netplan": "", "/etc/netplan/1.yaml": text, **scripts, **INTERFACES}, (A,), (ASKED,))
    assert guest.addresses() == {}
    assert [text for text in guest.warnings if "port of a bridge" in text and "/etc/netplan/1.yaml" in text]


def test_a_guest_that_is_configured_by_nothing_known_is_a_warning() -> None:
    guest = Simulator({}, (A,), (ASKED,))
    assert guest.addresses() == {}
    assert [text for text in guest.warnings if "the guest has no known system that configures the network" in text]


#: Settings of the administrator's .link files.
ETC = "/etc/systemd/network"
DEFAULT = (
    "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\nMACAddressPolicy=none\n"
)
VENDOR = {"/usr/lib/systemd/network/99-default.link": DEFAULT}


def settings(content: bytes) -> list[bytes]:
    """Return what the pin says about the NIC below its name."""
    head, _, rest = content.partition(b"Name=ens192\n")
    assert head.endswith(f"[Match]\nMACAddress={A}\nPath=*\n\n[Link]\n".encode())
    return rest.splitlines()


@pytest.mark.parametrize(
    ("match", "model"),
    [
        (f"MACAddress={A.upper()}", None),
        (f"PermanentMACAddress={B} {A}\nPath=pci-0000:0b:00.0", None),
        ("OriginalName=*", None),
        ("OriginalName=en* eth*", None),
        ("OriginalName=ens192", None),
        ("Type=ether", None),
        ("Type=ether\nKind=!*", None),
        ("Driver=vmxnet3", "vmxnet3"),
        ("Driver=e1000* vmx*", "vmxnet3"),
        ("Path=pci-*", None),
        ("", None),
    ],
)
def test_the_settings_are_merged(match: str, model: str | None) -> None:
    """systemd/systemd#23036: only the first .link file that matches is applied."""
    text = f"[Match]\n{match}\n\n[Link]\n# jumbo\nNamePolicy=kernel\nMTUBytes=9000\nTCPSegmentationOffload=false\n"
    guest = Simulator(INTERFACES | VENDOR | {f"{ETC}/50-mtu.link": text}, (A,), model=model)
    ((path, (content, why)),) = guest.examine().items()
    assert path == LINK
    assert settings(content) == [b"MTUBytes=9000", b"TCPSegmentationOffload=false"]
    assert f"those of {ETC}/50-mtu.link" in content.decode()
    assert why.endswith(f"it keeps the settings of {ETC}/50-mtu.link, too")
    assert guest.warnings == []


@pytest.mark.parametrize(
    ("match", "model"),
    [
        (f"MACAddress={B}", None),
        ("Type=wlan", None),
        ("Kind=bridge", None),
        ("OriginalName=wl*", None),
        ("Driver=vmxnet3\nOriginalName=wl*", "vmxnet3"),
    ],
)
def test_the_settings_of_another_nic_are_not(match: str, model: str | None) -> None:
    text = f"[Match]\n{match}\n[Link]\nMTUBytes=9000\n"
    guest = Simulator(INTERFACES | VENDOR | {f"{ETC}/50-mtu.link": text}, (A,), model=model)
    ((content, _),) = guest.examine().values()
    assert settings(content) == []
    assert guest.warnings == []


@pytest.mark.parametrize(
    "match",
    ["Driver=vmxnet3", "Path=pci-0000:0b:00.0", "OriginalName=eth1", "Virtualization=vmware", "Property=ID_X=1"],
)
def test_settings_that_may_be_those_of_the_nic_are_reported(match: str) -> None:
    text = f"[Match]\n{match}\n[Link]\nMTUBytes=9000\nGenericReceiveOffload=no\n"
    guest = Simulator(INTERFACES | VENDOR | {f"{ETC}/50-mtu.link": text}, (A,))
    ((content, _),) = guest.examine().values()
    assert settings(content) == []
    (warning,) = guest.warnings
    assert f"{ETC}/50-mtu.link in the guest sets GenericReceiveOffload, MTUBytes" in warning
    assert LINK in warning


def test_the_first_file_counts_and_its_drop_ins() -> None:
    files = {
        f"{ETC}/20-first.link": "[Match]\nOriginalName=*\n[Link]\nMTUBytes=9000\n[SR-IOV]\nVirtualFunction=0\n",
        f"{ETC}/20-first.link.d/b.conf": "[Link]\nRxBufferSize=4096\n",
        "/usr/lib/systemd/network/20-first.link.d/b.conf": "[Link]\nRxBufferSize=1\n",
        "/usr/lib/systemd/network/20-first.link.d/a.conf": "[Link]\nTxBufferSize=\\\n 512\n",
        f"{ETC}/30-second.link": "[Match]\nOriginalName=*\n[Link]\nMTUBytes=1400\n",
    }
    ((content, _),) = Simulator(INTERFACES | VENDOR | files, (A,)).examine().values()
    assert settings(content) == [
        *(b"MTUBytes=9000", b"TxBufferSize=  512", b"RxBufferSize=4096", b"", b"[SR-IOV]", b"VirtualFunction=0")
    ]


def test_a_drop_in_of_the_default_counts() -> None:
    files = VENDOR | {f"{ETC}/99-default.link.d/mtu.conf": "[Link]\nMTUBytes=9000\n"}
    ((content, _),) = Simulator(INTERFACES | files, (A,)).examine().values()
    assert settings(content) == [b"MACAddressPolicy=none", b"MTUBytes=9000"]


def test_a_file_after_the_default_does_not_count() -> None:
    """systemd/systemd#9227, coreos/bugs#913: the file had no effect on the source, either."""
    text = f"[Match]\nMACAddress={A}\n[Link]\nMTUBytes=9000\n"
    ((content, _),) = Simulator(INTERFACES | VENDOR | {f"{ETC}/ens192.link": text}, (A,)).examine().values()
    assert settings(content) == []


def test_a_masked_file_does_not_count() -> None:
    text = "[Match]\nOriginalName=*\n[Link]\nMTUBytes=9000\n"
    files = {"/usr/lib/systemd/network/50-mtu.link": text, f"{ETC}/50-mtu.link": "->/dev/null"}
    ((content, _),) = Simulator(INTERFACES | VENDOR | files, (A,)).examine().values()
    assert settings(content) == []


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("10-z.link", "10-v2v-"), ("10-a.link", "00-v2v-"), ("00-mtu.link", "0-v2v-"), ("0-mtu.link", "+v2v-")],
)
def test_the_pin_comes_first(name: str, beginning: str) -> None:
    text = "[Match]\nOriginalName=*\n[Link]\nMTUBytes=9000\n"
    guest = Simulator(INTERFACES | VENDOR | {f"{ETC}/{name}": text}, (A,))
    ((path, (content, _)),) = guest.examine().items()
    assert path == f"{ETC}/{beginning}ens192.link"
    assert settings(content) == [b"MTUBytes=9000"]


def test_settings_by_the_old_hardware_are_reported_where_nothing_is_pinned() -> None:
    """systemd/systemd#22322: a .link file without a name, for hardware at a place."""
    files = {f"{ETC}/50-mtu.link": "[Match]\nDriver=vmxnet3\n[Link]\nMTUBytes=9000\n"}
    guest = Simulator(files, (A,), model="vmxnet3")
    assert guest.examine() == {}
    (warning,) = guest.warnings
    assert "it sets MTUBytes and matches by Driver=vmxnet3, which may fail on KVM" in warning
