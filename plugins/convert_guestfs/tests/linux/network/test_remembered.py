# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources that state no MAC addresses: the target gets those that the guest remembers, or else new ones."""

from __future__ import annotations

import pytest

from network_guest import A, B, Simulator
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.network import keep_names
from v2v_convert_guestfs.linux.network.keep_names import NicNames

X, Y = "52:54:00:00:00:01", "52:54:00:00:00:02"
RULES = {
    "/etc/udev/rules.d/70-persistent-net.rules": "".join(
        f'SUBSYSTEM=="net", ACTION=="add", ATTR{{address}}=="{mac}", NAME="{name}"\n'
        for name, mac in (("eth1", B), ("eth0", A))
    )
}
OLD = {"/lib/udev/rules.d/75-persistent-net-generator.rules": ""}
IFCFG = "/etc/sysconfig/network-scripts/ifcfg-"


def examined(guest: Simulator) -> NicNames:
    return keep_names.examine(guest.session, GuestFiles(guest.session))


@pytest.mark.parametrize(
    ("files", "macs"),
    [
        ({f"{IFCFG}eth0": f"DEVICE=eth0\nHWADDR={A.upper()}\n"}, (A,)),
        ({"/etc/netplan/01.yaml": f"network: {{ethernets: {{lan: {{match: {{macaddress: '{A}'}}}}}}}}\n"}, (A,)),
        ({"/etc/systemd/network/1.network": f"[Match]\nMACAddress={A}\n"}, (A,)),
        (RULES | OLD, (A, B)),
        # the rule of a NIC that is gone
        (RULES | OLD | {"/etc/network/interfaces": "auto eth1\niface eth1 inet dhcp\n"}, (B,)),
        ({f"{IFCFG}{name}": f"DEVICE={name}\nHWADDR={mac}\n" for name, mac in (("eth1", A), ("eth0", B))}, (B, A)),
    ],
)
def test_the_guest_remembers_the_addresses(files: dict[str, str], macs: tuple[str, ...]) -> None:
    """rear/rear#3179, cdapio/cdap#2836: configuration and rules are for NICs with the old MAC addresses."""
    guest = Simulator(files, (X, Y)[: len(macs)], new=True)
    assert examined(guest).macs == dict(enumerate(macs))
    assert guest.warnings == []
    # An address of the source is never replaced.
    assert examined(Simulator(files, (X, Y)[: len(macs)])).macs == {}


def test_a_name_is_pinned_to_a_new_address() -> None:
    """rapid7/hackazon#21: an appliance that configures a NIC by its name."""
    guest = Simulator({"/etc/network/interfaces": "auto enp0s3\niface enp0s3 inet dhcp\n"}, (X,), new=True)
    names = examined(guest)
    assert (guest.names(), names.macs, guest.warnings) == ({"enp0s3": X}, {}, [])


def test_which_address_is_unknown() -> None:
    files = {f"{IFCFG}{name}": f"DEVICE={name}\nHWADDR={mac}\n" for name, mac in (("lan", A), ("wan", B))}
    guest = Simulator(files, (X, Y), new=True)
    assert examined(guest).macs == {}
    (warning,) = guest.warnings
    assert "for a MAC address that none of the source's NICs has" in warning
