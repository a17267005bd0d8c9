# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of NICs that no configuration of the network states: how they are known, and what is said where they are not.

Every guest is one of a public report, which the test names.
"""

from __future__ import annotations

import pytest

from network_guest import A, B, Simulator, grub
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network import keep_names

DHCP = {"/etc/network/interfaces": "auto lo\niface lo inet loopback\n"}
ZONES = {
    "/etc/firewalld/zones/internal.xml": '<?xml version="1.0"?>\n<zone>\n  <interface name="ens192"/>\n</zone>\n',
    "/etc/firewalld/zones/external.xml": '<?xml version="1.0"?>\n<zone>\n  <interface name="ens224"/>\n</zone>\n',
}
KEEPALIVED = {"/etc/keepalived/keepalived.conf": "vrrp_instance SdVip41 {\n    interface ens256\n    state BACKUP\n}\n"}
DHCPD = {"/etc/default/isc-dhcp-server": '# On what interfaces?\n#INTERFACESv4="eth0"\nINTERFACESv4="ens160"\n'}
NETWORKD = "/etc/systemd/network/20-wired.network"
GENERATOR = {"/lib/udev/rules.d/75-persistent-net-generator.rules": ""}


@pytest.mark.parametrize("more", [{}, ZONES, KEEPALIVED, DHCPD])
def test_a_nic_in_a_known_slot_keeps_its_name_whatever_names_it(more: dict[str, str]) -> None:
    """firewalld/firewalld#1088, acassen/keepalived#1036, aws/eks-anywhere#694: zones, VRRP and a DHCP server."""
    guest = Simulator(DHCP | more, (A, B), slots=(224, 192))
    assert guest.names() == {"ens224": A, "ens192": B}
    assert guest.warnings == []


def test_zones_without_slots_tell_the_names() -> None:
    """firewalld/firewalld#1088: the zones name both NICs, and the source lacks the slots."""
    guest = Simulator(DHCP | ZONES, (A, B))
    assert guest.names() == {"ens192": A, "ens224": B}
    (warning,) = guest.warnings
    assert "guessed from their order: ens192 is" in warning


def test_the_only_name_in_the_guest_is_that_of_the_only_nic() -> None:
    """aws/eks-anywhere#694: INTERFACESv4="ens160" in /etc/default/isc-dhcp-server."""
    guest = Simulator(DHCP | DHCPD, (A,))
    assert guest.names() == {"ens160": A}
    assert guest.warnings == []


def test_what_names_a_nic_is_reported_if_the_name_is_unknown() -> None:
    """acassen/keepalived#1036: "interface ens256 for vrrp_instance SdVip41 doesn't exist"."""
    guest = Simulator(DHCP | KEEPALIVED, (A, B))
    assert guest.names() == {}
    (warning,) = guest.warnings
    assert "ens256 in /etc/keepalived/keepalived.conf line 2" in warning


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/etc/nftables.conf", '    iifname "ens256" accept'),
        ("/etc/iptables/rules.v4", "-A INPUT -i ens256 -j ACCEPT"),
        ("/etc/sysconfig/iptables", "-A INPUT -i ens+ -j ACCEPT"),
        ("/etc/dnsmasq.d/lan.conf", "interface=ens256"),
        ("/etc/sysctl.d/90-rp.conf", "net.ipv4.conf.ens256.rp_filter = 0"),
        ("/etc/sysctl.d/90-rp.conf", "net/ipv4/conf/ens256/rp_filter = 0"),
        ("/etc/systemd/system/x.service", "BindsTo=sys-subsystem-net-devices-ens256.device"),
        ("/etc/NetworkManager/conf.d/x.conf", "unmanaged-devices=interface-name:ens256"),
        ("/etc/chrony/chrony.conf", "hwtimestamp ens256"),
        ("/etc/conf.d/net", 'config_ens256="192.0.2.10/24"'),
        ("/etc/netctl/lan", "Interface=ens256"),
        ("/etc/rancher/k3s/config.yaml", 'flannel-iface: "ens256"'),
    ],
)
def test_places_that_name_nics(path: str, line: str) -> None:
    guest = Simulator(DHCP | {path: f"\n{line}\n# {line.replace('256', '161')}\n"}, (A, B))
    assert guest.names() == {}
    (warning,) = guest.warnings
    assert f"in {path} line 2" in warning
    assert "ens161" not in warning


@pytest.mark.parametrize("line", ["#interface=ens256", "host=ens256.example.com", "# x", "10.0.0.1 lens256", "eth0"])
def test_what_names_no_nic_of_the_guest(line: str) -> None:
    guest = Simulator(DHCP | {"/etc/dnsmasq.conf": f"{line}\n"}, (A, B))
    assert (guest.names(), guest.warnings) == ({}, [])


@pytest.mark.parametrize(
    "files",
    [
        {NETWORKD: "[Match]\nName=ens*\n\n[Network]\nDHCP=yes\n"},
        {NETWORKD: "[Match]\nName=lan? ens1[69]*\n"},
        {"/etc/netplan/01.yaml": "network: {ethernets: {lan: {match: {name: 'ens*'}}}}\n"},
        {
            "/etc/NetworkManager/system-connections/lan.nmconnection": "[connection]\ntype=ethernet\n\n[match]\n"
            "interface-name=eth0;!ens224;ens*;\n"
        },
        {"/etc/network/interfaces": "auto /ens*=lan\niface lan inet dhcp\n"},
        {"/etc/network/interfaces": "allow-hotplug /ens*/1=lan\n"},
        {"/etc/network/interfaces": "auto ens[1-2]92\niface ens192\n    address 192.0.2.10/24\n"},
    ],
)
@pytest.mark.parametrize("slot", [None, 192])
def test_a_pattern_still_matches(files: dict[str, str], slot: int | None) -> None:
    """systemd/systemd#11681, #32629, openmediavault/openmediavault#1888, CumulusNetworks/ifupdown2#263."""
    guest = Simulator(DHCP | files, (A,), slots=(slot,))
    assert guest.names() == {"ens192": A}
    assert guest.warnings == []


def test_a_pattern_that_matches_on_kvm_as_well_needs_nothing() -> None:
    """openmediavault/openmediavault#1888: match: name: "en*"."""
    text = "network: {ethernets: {lan: {match: {name: 'en*'}}}}\n"
    guest = Simulator({"/etc/netplan/01.yaml": text}, (A,))
    assert (guest.names(), guest.warnings, guest.told) == ({}, [], [])
    # With the kernel's names, it matched nothing on the source, and matches nothing now.
    guest = Simulator({"/etc/netplan/01.yaml": text, **grub("net.ifnames=0")}, (A,))
    assert (guest.names(), guest.warnings, guest.told) == ({}, [], [])


def test_configuration_by_the_other_name_of_a_place() -> None:
    """systemd/systemd#32629: Name= matches alternative names as well, here that of the PCI path."""
    files = {f"/etc/systemd/network/{name}.network": f"[Match]\nName={name}\n" for name in ("enp3s0", "enp11s0")}
    guest = Simulator(files, (A, B), slots=(192, 160))
    assert guest.names() == {"enp11s0": A, "enp3s0": B}
    assert guest.warnings == []


@pytest.mark.parametrize(
    "name", ["wl*", "ww* wl*", "br[0-9]", "veth*", "docker*", "cali*", "!ens*", "*", "e*", "en* eth*"]
)
def test_a_pattern_that_is_for_no_nic_or_for_any_needs_nothing(name: str) -> None:
    """systemd/systemd#32629: a machine has several files with patterns, for interfaces of every kind."""
    guest = Simulator({NETWORKD: f"[Match]\nName={name}\n"}, (A,))
    assert (guest.names(), guest.warnings, guest.told) == ({}, [], [])


def test_a_name_is_made_for_a_pattern_and_said() -> None:
    guest = Simulator({NETWORKD: "[Match]\nName=wan[0-3]\n"}, (A,))
    assert guest.names() == {"wan0": A}
    (told,) = guest.told
    assert "by the pattern wan[0-3]" in told


def test_it_is_said_if_nothing_is_known_about_several_patterns() -> None:
    text = "[Match]\nName={}*\n"
    files = {f"/etc/systemd/network/{name}.network": text.format(name) for name in ("wan", "lan", "dmz")}
    guest = Simulator(files, (A, B))
    assert guest.names() == {}
    (warning,) = guest.warnings
    assert "it is unknown which of the source's NICs matched" in warning


def test_a_list_of_all_usual_names_is_for_one_nic() -> None:
    """nix-community/srvos#250: matchConfig.Name = "eno1 ens1 enp1s0 eth0"."""
    files = {NETWORKD: "[Match]\nName=eno1 ens1 ens192 eth0\n"}
    assert Simulator(files, (A,), slots=(192,)).names() == {"ens192": A}
    guest = Simulator(files, (A,))
    assert guest.names() == {"eno1": A}
    assert guest.warnings == []


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        # systemd/systemd#4496: a name of the administrator's own on VMware; eth0 comes from a container's later log
        (
            "/var/log/kern.log",
            "Sep 12 16:01:29 kernel: vmxnet3 0000:03:00.0 wan0: renamed from eth0\neth0: renamed from veth5e98\n",
            {"wan0": A},
        ),
        # rancher/os#171: VirtualBox
        (
            "/var/log/messages",
            "Apr 13 05:07:21 rancher kernel: e1000 0000:00:03.0 eth0: (PCI:33MHz:32-bit) 00:50:56:aa:00:01\n"
            "Apr 13 05:07:21 rancher kernel: e1000 0000:00:03.0 enp0s3: renamed from eth0\n",
            {"enp0s3": A},
        ),
        (
            "/var/log/journal/0123/system.journal",
            "\0\1MESSAGE=vmxnet3 0000:03:00.0 ens160: renamed from eth0\0\0\2MESSAGE=x\0",
            {"ens160": A},
        ),
        # openshift/installer#5698: a guest of KVM, whose NIC may be in another place there, too
        ("/var/log/kern.log", "kernel: virtio_net virtio0 ens3: renamed from eth0\n", {"ens3": A}),
        ("/var/log/installer/syslog", "dhclient: Listening on LPF/ens33/00:50:56:aa:00:01\n", {"ens33": A}),
        # canonical/cloud-init#2553: the table of cloud-init
        (
            "/var/log/cloud-init-output.log",
            "ci-info: |  ens7  | True |  10.0.0.4  | 255.255.255.0 |   .   | 00:50:56:AA:00:01 |\n",
            {"ens7": A},
        ),
        # coreos/bugs#1462, hashicorp/vagrant#4590: the index of VMware's firmware as a name
        (
            "/var/lib/dhclient/dhclient--eno16780032.lease",
            'lease {\n  interface "eno16780032";\n}\n',
            {"eno16780032": A},
        ),
        (
            "/var/lib/NetworkManager/internal-7d3b05a4-4a8e-4b5e-8f55-3ef19a5ae12b-ens192.lease",
            "ADDRESS=192.0.2.10\nCLIENTID=01005056aa0001\n",
            {"ens192": A},
        ),
        ("/var/lib/dhcp/dhclient.ens192.leases", "lease {\n}\n", {"ens192": A}),
        ("/var/lib/wicked/lease-ens160-dhcp-ipv4.xml", "<client-id>01:00:50:56:aa:00:01</client-id>\n", {"ens160": A}),
        (
            "/etc/cloud/cloud.cfg.d/50-network.cfg",
            "network:\n  version: 1\n  config:\n    - {type: physical, name: lan0, mac_address: '00:50:56:aa:00:01'}\n",
            {"lan0": A},
        ),
    ],
)
def test_traces_of_the_guest_tell_the_name(path: str, text: str, names: dict[str, str]) -> None:
    guest = Simulator(DHCP | {path: text}, (A,))
    assert guest.names() == names
    assert guest.warnings == []


def test_traces_tell_which_is_which() -> None:
    """hashicorp/vagrant#4590, systemd/systemd#4496: with two NICs, the order of the names proves nothing."""
    log = "".join(f"dhclient: Sending on   LPF/{name}/{mac}\n" for name, mac in (("ens192", A), ("ens160", B)))
    guest = Simulator({"/etc/network/interfaces": "auto ens160 ens192\n", "/var/log/syslog": log}, (A, B))
    assert guest.names() == {"ens192": A, "ens160": B}
    assert guest.warnings == []


def test_the_newest_trace_counts() -> None:
    """coreos/bugs#1462: an update renamed eno16780032 to ens192."""
    lines = [f"kernel: vmxnet3 0000:0b:00.0 {name}: renamed from eth0\n" for name in ("eno16780032", "ens192")]
    assert Simulator({"/var/log/kern.log": "".join(lines)}, (A,)).names() == {"ens192": A}


@pytest.mark.parametrize("word", [f"ifname=lan0:{A}", "ip=192.0.2.10::192.0.2.1:24:host:ens192:none", "ip=ens192:dhcp"])
def test_the_kernel_command_line_tells_the_name(word: str) -> None:
    guest = Simulator(grub(f"rd.neednet=1 {word}"), (A,))
    assert guest.names() == {"lan0" if "lan0" in word else "ens192": A}


def test_a_name_of_another_time_does_not_count() -> None:
    """coreos/bugs#1462: names change with updates; the installer's kernel called the NIC eth0."""
    log = {"/var/log/installer/syslog": f"dhclient: Listening on LPF/eth0/{A}\n"}
    guest = Simulator(log, (A,))
    assert (guest.names(), guest.warnings) == ({}, [])


@pytest.mark.parametrize("text", ["path=pci-0000:0b:00.0", "driver=vmxnet3"])
def test_a_connection_that_matches_by_the_old_hardware_is_reported(text: str) -> None:
    path = "/etc/NetworkManager/system-connections/lan.nmconnection"
    guest = Simulator({path: f"[connection]\ntype=ethernet\n\n[match]\n{text}\n"}, (A,), slots=(192,))
    assert guest.names() == {"ens192": A}
    (warning,) = guest.warnings
    assert f"{path} in the guest: it matches by {text.split('=', maxsplit=1)[0]}, which may fail on KVM" in warning


def test_only_the_end_of_a_long_log_is_read() -> None:
    line = "kernel: vmxnet3 0000:0b:00.0 {}: renamed from eth0\n"
    text = line.format("old0") + "x" * (3 << 20) + "\n" + line.format("ens192")
    assert Simulator({"/var/log/kern.log": text}, (A,)).names() == {"ens192": A}
    assert Simulator({"/var/log/kern.log": line.format("old0") + "x" * (3 << 20)}, (A,)).names() == {}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "/etc/udev/rules.d/70-persistent-net.rules",
            'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="vmxnet3", KERNELS=="0000:0b:00.0", NAME="eth0"\n'
            'SUBSYSTEM=="net", ACTION=="add", DRIVERS=="vmxnet3", KERNELS=="0000:03:00.0", NAME="eth1"\n',
        ),
        ("/etc/udev/rules.d/9.rules", 'SUBSYSTEM=="net", ENV{ID_PATH}=="pci-0000:0b:00.0", NAME="eth0"\n'),
        ("/etc/systemd/network/10-lan.link", "[Match]\nPath=pci-0000:0b:00.0\n[Link]\nName=eth0\n"),
    ],
)
def test_a_rule_by_place_tells_the_name(path: str, text: str) -> None:
    """rear/rear#1312: the rules of SLES 12 name a NIC by its place, which is another one on KVM."""
    guest = Simulator({path: text}, (A, B), slots=(160, 192))
    assert guest.names()["eth0"] == B
    assert guest.warnings == []
    guest = Simulator({path: text}, (A, B))
    assert guest.names() == {}
    assert any("make it match by the MAC address" in warning for warning in guest.warnings)


@pytest.mark.parametrize(
    "boot",
    [
        grub("quiet net.ifnames=0 biosdevname=0"),
        {"/boot/grub2/grub.cfg": "blscfg\n", "/boot/loader/entries/1.conf": "linux /vmlinuz\noptions root=/dev/sda1 "
         "$kernelopts\n", "/boot/grub2/grubenv": "# GRUB Environment Block\nkernelopts=quiet net.ifnames=0\n"},
        {"/boot/efi/EFI/centos/grub.cfg": grub("net.ifnames=0")["/boot/grub/grub.cfg"]},
        {"/boot/loader/entries/1.conf": "linux /vmlinuz\noptions root=/dev/sda1 net.ifnames=0\n"},
        {"/boot/grub/menu.lst": "title x\n\tkernel /vmlinuz root=/dev/sda1 net.ifnames=0\n"},
        {"/boot/extlinux/extlinux.conf": "label x\n  kernel /vmlinuz\n  append root=/dev/sda1 net.ifnames=0\n"},
        {"/etc/default/grub": 'GRUB_CMDLINE_LINUX_DEFAULT="quiet"\nGRUB_CMDLINE_LINUX="net.ifnames=0 biosdevname=0"\n'},
    ],
)  # fmt: skip
def test_the_names_of_the_kernel_stay_by_themselves(boot: dict[str, str]) -> None:
    """GNS3/gns3-gui#2757: eth0 and eth1 are not pinned, only ordered, and there is nothing to warn about."""
    files = {"/etc/network/interfaces": "auto eth0 eth1\niface eth0 inet dhcp\n"} | boot
    guest = Simulator(files, (A, B))
    assert (guest.names(), guest.warnings) == ({}, [])
    # The kernel finds the NIC in slot 160 first.
    guest = Simulator(files, (A, B), slots=(192, 160))
    names = keep_names.examine(guest.session, GuestFiles(guest.session))
    assert (names.files, names.order, names.by_mac) == ({}, (1, 0), {B: "eth0", A: "eth1"})
    assert guest.warnings == []


def test_the_fifth_nic_is_the_second_of_the_kernel() -> None:
    """GNS3/gns3-gui#2757: VMware gives the fifth NIC the slot 1184, on the bus after that of slot 160."""
    macs = tuple(f"00:50:56:aa:00:0{number}" for number in range(1, 6))
    guest = Simulator(grub("net.ifnames=0"), macs, slots=(160, 192, 224, 256, 1184))
    assert keep_names.examine(guest.session, GuestFiles(guest.session)).order == (0, 4, 1, 2, 3)


@pytest.mark.parametrize(
    ("policy", "names"),
    [
        ("keep kernel database onboard slot path", {"ens192": A}),
        ("kernel database onboard path", {"enp11s0": A}),
        ("keep kernel", {}),
        ("mac", {}),
    ],
)
def test_the_policy_of_the_guest_decides(policy: str, names: dict[str, str]) -> None:
    """SUSE/suse-migration-services#408: /etc/systemd/network/99-default.link without any naming scheme."""
    files = {"/etc/systemd/network/99-default.link": f"[Match]\nOriginalName=*\n\n[Link]\nNamePolicy={policy}\n"}
    guest = Simulator(files, (A,), slots=(192,))
    assert (guest.names(), guest.warnings) == (names, [])


@pytest.mark.parametrize(
    ("policy", "names"), [("keep kernel", ["eth0", "eth1"]), ("mac", [f"enx{mac.replace(':', '')}" for mac in (A, B)])]
)
def test_names_of_another_policy_stay_by_themselves(policy: str, names: list[str]) -> None:
    """SUSE/suse-migration-services#408: nothing is pinned, and what names the NICs is no reason for a warning."""
    files = {
        "/etc/systemd/network/99-default.link": f"[Match]\nOriginalName=*\n\n[Link]\nNamePolicy={policy}\n",
        "/etc/nftables.conf": f'iifname "{names[1]}" accept\n',
    }
    guest = Simulator(files, (A, B))
    found = keep_names.examine(guest.session, GuestFiles(guest.session))
    assert (found.files, found.by_mac) == ({}, {A: names[0], B: names[1]})
    assert guest.warnings == []


def test_an_old_guest_has_no_names_by_slot() -> None:
    guest = Simulator(GENERATOR | {"/etc/dnsmasq.conf": "interface=eth0\n"}, (A,), slots=(192,))
    assert list(guest.examine()) == ["/etc/udev/rules.d/70-v2v-net.rules"]
    assert keep_names.examine(guest.session, GuestFiles(guest.session)).by_mac == {A: "eth0"}


def test_a_name_with_the_address_in_it() -> None:
    files = {"/etc/network/interfaces": "auto enx005056aa0002 enx005056aa0001\n"}
    guest = Simulator(files, (A, B))
    assert guest.names() == {"enx005056aa0001": A, "enx005056aa0002": B}
    assert guest.warnings == []


def test_a_nic_that_netplan_names_is_not_pinned() -> None:
    """canonical/multipass#4045: set-name; the generator of netplan writes a .link file at every boot."""
    text = f"network: {{ethernets: {{primary: {{match: {{macaddress: '{A}'}}, set-name: primary}}}}}}\n"
    guest = Simulator({"/etc/netplan/50-cloud-init.yaml": text}, (A,), slots=(192,))
    names = keep_names.examine(guest.session, GuestFiles(guest.session))
    assert (names.files, names.by_mac) == ({}, {A: "primary"})


CLOUD = {"/usr/bin/cloud-init": "", "/etc/cloud/cloud.cfg": "datasource_list: [ NoCloud, VMware, None ]\n"}
VMWARE = {"/etc/cloud/cloud.cfg.d/90-dpkg.cfg": "datasource_list: [ VMware, OVF, None ]\n"}


def test_a_cloud_init_that_will_begin_anew_is_reported() -> None:
    """canonical/cloud-init#3402: without its source of data, cloud-init configures DHCP in place of the static IP."""
    guest = Simulator(CLOUD | VMWARE, (A,), slots=(192,))
    guest.examine()
    (warning,) = guest.warnings
    assert "only from VMware, OVF (datasource_list in /etc/cloud/cloud.cfg.d/90-dpkg.cfg)" in warning
    assert "/etc/cloud/cloud-init.disabled" in warning


@pytest.mark.parametrize(
    "more",
    [
        {},
        VMWARE | {"/etc/cloud/cloud-init.disabled": "x"},
        VMWARE | {"/etc/cloud/cloud.cfg.d/99-x.cfg": "network: {config: disabled}\n"},
        {"/etc/cloud/cloud.cfg.d/99-installer.cfg": "datasource_list: [None]\n"},
        {"/etc/cloud/cloud.cfg.d/99-x.cfg": "datasource_list: &a [*a\n"},
    ],
)
def test_a_cloud_init_that_keeps_the_network_is_not(more: dict[str, str]) -> None:
    """canonical/cloud-init#3777: the remedies of that report, and what Ubuntu's installer writes."""
    guest = Simulator(CLOUD | more, (A,), slots=(192,))
    guest.examine()
    assert guest.warnings == []
