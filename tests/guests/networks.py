# SPDX-License-Identifier: GPL-2.0-or-later
"""The static address of a guest's NIC, as each of the systems for it has it: files, packages, units."""

from __future__ import annotations

from typing import Literal

Network = Literal["none", "ifupdown", "networkd", "netplan", "networkmanager", "ifcfg", "two-nics"]

# The name that the first NIC has on VMware, where it sits in PCI slot 192.
NIC = "ens192"

ADDRESS = "192.0.2.10/24"

#: The NIC of ``two-nics`` that only a rule of nftables names; it is in slot 160, and finds its address by DHCP.
OTHER_NIC = "ens160"

NETWORK_MARKER = "V2V-GUEST-NETWORK"

PACKAGES: dict[Network, tuple[str, ...]] = {
    "none": (),
    "ifupdown": ("ifupdown", "iproute2"),
    "networkd": ("iproute2",),
    "netplan": ("netplan.io", "iproute2"),
    "networkmanager": ("network-manager", "iproute2"),
    "ifcfg": ("iproute2",),
    "two-nics": ("iproute2", "nftables"),
}

UNITS: dict[Network, tuple[str, ...]] = {
    "none": (),
    "ifupdown": (),
    "networkd": ("systemd-networkd.service",),
    "netplan": ("systemd-networkd.service",),
    "networkmanager": (),
    "ifcfg": ("network.service",),
    "two-nics": ("systemd-networkd.service", "nftables.service"),
}

SCRIPT_PATH = "/usr/local/share/v2v-addresses"

_WAIT = """\
tries=0
until ip -o -4 address show scope global | grep -q . || [ $tries -ge 60 ]; do
    tries=$((tries + 1))
    sleep 1
done
addresses=$(ip -o -4 address show scope global | awk '{ print $2 "=" $4 }' | paste -sd,)
"""

# A VLAN and a bridge have the MAC address of the NIC as well: they must keep their names and leave it its own.
_MORE_LINKS = """\
nic=$(ls /sys/class/net | grep -v lo | head -n 1)
ip link add link "$nic" name v2v.7 type vlan id 7
ip link add name v2vbridge address "$(cat /sys/class/net/$nic/address)" type bridge
udevadm settle --timeout=60
"""

_TELL = f"""\
links=$(ls /sys/class/net | paste -sd,)
printf '\\n{NETWORK_MARKER} addresses=%s links=%s\\n' "$addresses" "$links"
"""

# In place of Red Hat's own scripts, which no other distribution has.
_IFCFG_UNIT = """\
[Unit]
Description=Bring the NICs up that have a configuration
Before=network.target
Wants=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/libexec/initscripts/network

[Install]
WantedBy=multi-user.target
"""

_IFCFG_SCRIPT = """\
#!/bin/sh
cd /etc/sysconfig/network-scripts || exit 1
failed=0
for file in ifcfg-*; do
    (
        . "./$file"
        [ "$ONBOOT" = yes ] || exit 0
        tries=0
        until [ -e "/sys/class/net/$DEVICE" ]; do
            [ $tries -lt 30 ] || { echo "Device $DEVICE does not seem to be present." >&2; exit 1; }
            tries=$((tries + 1))
            sleep 1
        done
        ip address add "$IPADDR/$PREFIX" dev "$DEVICE" && ip link set "$DEVICE" up || exit 1
        [ -z "$GATEWAY" ] || ip route add default via "$GATEWAY"
    ) || failed=1
done
exit $failed
"""

# No configuration of the network names a NIC: a pattern finds one, and a rule of nftables names the other. The guest
# also tells which NIC has which name.
_TWO_NICS = (
    (
        "/etc/systemd/network/20-static.network",
        f"[Match]\nName=ens19*\n\n[Network]\nAddress={ADDRESS}\n",
        0o644,
    ),
    ("/etc/systemd/network/30-dhcp.network", "[Match]\nType=ether\n\n[Network]\nDHCP=ipv4\n", 0o644),
    (
        "/etc/nftables.conf",
        "#!/usr/sbin/nft -f\nflush ruleset\ntable inet filter {\n  chain input {\n"
        "    type filter hook input priority 0; policy accept;\n"
        f'    iifname "{OTHER_NIC}" tcp dport 22 drop\n  }}\n}}\n',
        0o755,
    ),
    (
        "/etc/systemd/system/v2v-guest-up.service.d/macs.conf",
        "[Service]\nExecStartPre=/bin/sh -c 'cd /sys/class/net; grep -H . e*/address'\n",
        0o644,
    ),
)

DROP_IN = f"""\
[Unit]
After=networking.service systemd-networkd.service NetworkManager.service

[Service]
ExecStartPre=/bin/sh {SCRIPT_PATH}
"""


def script(*, more_links: bool) -> str:
    """Return what the guest tells of its network with; with a VLAN and a bridge, if it shall make them first."""
    return _WAIT + (_MORE_LINKS if more_links else "") + _TELL


def configuration(network: Network) -> tuple[tuple[str, str, int], ...]:
    """Return path, text and mode of every file."""
    match network:
        case "none" | "two-nics":
            return _TWO_NICS if network == "two-nics" else ()
        case "ifupdown":
            # As Debian's installer leaves it.
            text = (
                "auto lo\niface lo inet loopback\n\n"
                f"allow-hotplug {NIC}\niface {NIC} inet static\n    address {ADDRESS}\n    gateway 192.0.2.1\n"
            )
            return (("/etc/network/interfaces", text, 0o644),)
        case "networkd":
            text = f"[Match]\nName={NIC}\n\n[Network]\nAddress={ADDRESS}\nGateway=192.0.2.1\n"
            return (("/etc/systemd/network/20-wired.network", text, 0o644),)
        case "netplan":
            text = (
                "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n"
                f"    {NIC}:\n      addresses: [{ADDRESS}]\n"
                "      routes:\n        - to: default\n          via: 192.0.2.1\n"
            )
            return (("/etc/netplan/01-wired.yaml", text, 0o600),)
        case "networkmanager":
            text = (
                f"[connection]\nid=wired\nuuid=2f5c5a6e-1f0a-4d0e-9a53-0d4f1c9d7a11\ntype=ethernet\n"
                f"interface-name={NIC}\n\n[ipv4]\nmethod=manual\naddress1={ADDRESS},192.0.2.1\n\n"
                "[ipv6]\nmethod=ignore\n"
            )
            return (("/etc/NetworkManager/system-connections/wired.nmconnection", text, 0o600),)
        case "ifcfg":
            address, prefix = ADDRESS.split("/")
            # As the installers of RHEL 7 leave it.
            text = (
                "TYPE=Ethernet\nBOOTPROTO=none\nDEFROUTE=yes\nIPV6INIT=no\n"
                f"NAME={NIC}\nUUID=2f5c5a6e-1f0a-4d0e-9a53-0d4f1c9d7a12\nDEVICE={NIC}\nONBOOT=yes\n"
                f"IPADDR={address}\nPREFIX={prefix}\nGATEWAY=192.0.2.1\n"
            )
            return (
                (f"/etc/sysconfig/network-scripts/ifcfg-{NIC}", text, 0o644),
                ("/etc/sysconfig/network", "# Created by anaconda\n", 0o644),
                ("/usr/libexec/initscripts/network", _IFCFG_SCRIPT, 0o755),
                ("/usr/lib/systemd/system/network.service", _IFCFG_UNIT, 0o644),
            )
