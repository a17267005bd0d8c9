# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that name NICs besides the configuration of the network: firewalls, servers and units."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network.scheme import Scheme, is_of
from v2v_convert_guestfs.session import Session

_PLACES = (
    *("/etc/firewalld/zones/*.xml", "/etc/firewalld/direct.xml", "/etc/firewalld/policies/*.xml"),
    *("/etc/nftables.conf", "/etc/nftables/*.nft", "/etc/nftables.d/*", "/etc/sysconfig/nftables.conf"),
    *("/etc/iptables/rules.v[46]", "/etc/iptables/*.rules", "/etc/sysconfig/ip*tables", "/etc/iptables.*rules"),
    *("/etc/ufw/*.rules", "/etc/shorewall*/interfaces", "/etc/shorewall*/snat", "/etc/shorewall*/masq"),
    *("/etc/sysconfig/SuSEfirewall2", "/etc/fail2ban/jail.local"),
    *("/etc/keepalived/*.conf", "/etc/keepalived/conf.d/*", "/etc/dnsmasq.conf", "/etc/dnsmasq.d/*"),
    *("/etc/default/isc-dhcp-server", "/etc/default/isc-dhcp-relay", "/etc/sysconfig/dhcpd", "/etc/kea/*.conf"),
    *("/etc/dhcp/dhclient.conf", "/etc/dhcpcd.conf", "/etc/radvd.conf", "/etc/hostapd/*.conf", "/etc/pppoe.conf"),
    *("/etc/chrony.conf", "/etc/chrony/*.conf", "/etc/chrony.d/*", "/etc/chrony/conf.d/*", "/etc/ntp.conf"),
    *("/etc/linuxptp/*.conf", "/etc/sysconfig/ptp4l", "/etc/avahi/avahi-daemon.conf", "/etc/samba/smb.conf"),
    *("/etc/docker/daemon.json", "/etc/default/docker", "/etc/sysconfig/docker*", "/etc/containers/networks/*.json"),
    *("/etc/rancher/k3s/config.yaml", "/etc/rancher/rke2/config.yaml", "/etc/default/kubelet", "/etc/cni/net.d/*"),
    *("/etc/kubernetes/manifests/*.yaml", "/etc/libvirt/qemu/networks/*.xml", "/etc/libvirt/qemu/*.xml"),
    *("/etc/frr/*.conf", "/etc/quagga/*.conf", "/etc/bird/*.conf", "/etc/bird.conf", "/etc/babeld.conf"),
    *("/etc/haproxy/haproxy.cfg", "/etc/ha.d/ha.cf", "/etc/corosync/corosync.conf", "/etc/ucarp/*"),
    *("/etc/wireguard/*.conf", "/etc/openvpn/*.conf", "/etc/openvpn/*/*.conf", "/etc/strongswan.d/charon.conf"),
    *("/etc/suricata/suricata.yaml", "/etc/default/suricata", "/etc/sysconfig/suricata", "/etc/snort/snort*.conf"),
    *("/etc/snmp/snmpd.conf", "/etc/vnstat.conf", "/etc/default/darkstat", "/etc/collectd/collectd.conf"),
    *("/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/etc/rc.local", "/etc/rc.d/rc.local", "/etc/init.d/boot.local"),
    *("/etc/NetworkManager/NetworkManager.conf", "/etc/NetworkManager/conf.d/*.conf"),
    *("/etc/NetworkManager/dispatcher.d/*", "/etc/networkd-dispatcher/*/*", "/etc/network/if-*.d/*"),
    *("/etc/sysconfig/network-scripts/route*-*", "/etc/sysconfig/network-scripts/rule*-*"),
    *("/etc/netctl/*", "/etc/conf.d/net", "/etc/conf.d/net.*", "/etc/rc.d/rc.inet1.conf", "/etc/connman/main.conf"),
    *("/etc/systemd/system/*.service", "/etc/systemd/system/*.service.d/*.conf", "/etc/cron.d/*"),
)
_WANTED = re.compile("|".join(map(fnmatch.translate, _PLACES)))
#: Bytes of a file, and how many files.
_LIMIT, _FILES_LIMIT = 64 * 1024, 200
_ASIDES = (".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-bak", ".rpmsave", ".rpmnew", ".bak", "~")
#: The last part of a pattern's place is one of nftables (ens*) or iptables (ens+).
_NAMED = re.compile(
    r"(?<![\w.:/@-])(?:ens\d{1,4}|eno\d{1,8}|enp\d{1,3}s\d{1,3}(?:f\d{1,2})?|eth\d{1,3}|(?:ens|eno|enp|en|eth)[*+])"
    r"(?![\w-]|\.[A-Za-z])",
    re.ASCII,
)
#: In these, the name is behind a word that ends with one of the characters that otherwise belong to another word.
_AFTER = re.compile(
    r"(?:net[./]ipv[46][./](?:conf|neigh)[./]|/sys/class/net/|(?:ifup|network|dhclient|dhcpcd|wpa_supplicant)@"
    r"|net-devices-|interface-name:|dev:|(?<!\w)(?:config|routes|modules|bridge|slaves|dns_servers)_)(?P<name>ens\d{1,4}|eno\d{1,8}|enp\d{1,3}s\d{1,3}|eth\d{1,3})(?![\w-])",
    re.ASCII,
)
_COMMENTS = ("#", ";", "//", "!")


@dataclass(frozen=True)
class Mention:
    """A name of a NIC, or a pattern for such names, in a file.

    :param line: its number, from 1.
    """

    name: str
    path: str
    line: int

    @property
    def pattern(self) -> str:
        """Return the name as a pattern with ``*``."""
        return self.name.replace("+", "*")

    @property
    def is_literal(self) -> bool:
        """Return whether it is a name, and not a pattern."""
        return "*" not in self.pattern

    def is_of(self, scheme: Scheme) -> bool:
        """Return whether a scheme can give a NIC the name, or one that the pattern matches."""
        return is_of(self.name, scheme)


def read_mentions(session: Session, files: GuestFiles) -> list[Mention]:
    """Return the first place of each name in each file."""
    found: list[Mention] = []
    for path in _paths(session)[:_FILES_LIMIT]:
        names: dict[str, Mention] = {}
        for mention in mentions(_read(session, files, path), path):
            names.setdefault(mention.name, mention)
        found += names.values()
    return found


def mentions(data: bytes, path: str) -> Iterator[Mention]:
    """Yield the names in a file, without those in comments."""
    for number, line in enumerate(data.decode("latin-1").split("\n"), 1):
        text = line.strip()
        if text.startswith(_COMMENTS):
            continue
        text = re.split(r"\s#", text, maxsplit=1)[0]
        for match in _NAMED.finditer(text):
            yield Mention(match[0], path, number)
        for match in _AFTER.finditer(text):
            yield Mention(match["name"], path, number)


def _paths(session: Session) -> list[str]:
    """Return the files of the guest that may name NICs. Listing /etc once is much faster than a hundred patterns."""
    try:
        listed = [f"/etc/{path}" for path in session.handle.find("/etc")]
    except (RuntimeError, UnicodeDecodeError) as err:
        session.report.debug(f"/etc cannot be listed: {brief(err)}")
        return []
    return sorted(path for path in listed if _WANTED.fullmatch(path) and not path.endswith(_ASIDES))


def _read(session: Session, files: GuestFiles, path: str) -> bytes:
    try:
        if not session.handle.is_file(path) or int(session.handle.filesize(path)) > _LIMIT:
            return b""
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return b""
    return files.read(path, limit=_LIMIT) or b""
