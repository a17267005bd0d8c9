# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest keeps the names of its NICs, such as ``ens192``, which on KVM would be ``enp0s1`` or otherwise."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from described import NIC_ADDRESS as MAC
from described import ConvertedInPlace, convert_described
from guests.boot import boot
from guests.build import disks
from guests.disk_images import overlay
from guests.look import read_files
from guests.networks import ADDRESS, NIC, OTHER_NIC
from guests.recipes import RECIPES
from runs import Place, said

pytestmark = pytest.mark.slow


def test_the_static_address_survives(converted_in_place: ConvertedInPlace) -> None:
    link = "/etc/systemd/network/10-v2v-ens192.link"
    assert link in converted_in_place.metadata
    assert f"MACAddress={MAC}".encode() in converted_in_place.files[link]
    assert b"allow-hotplug ens192" in converted_in_place.files["/etc/network/interfaces"]

    booted = boot([converted_in_place.disk], nics=[MAC])
    assert booted.reached, booted.tail()
    print(booted.network)
    assert booted.network["addresses"] == f"{NIC}={ADDRESS}"
    # The VLAN and the bridge, which the guest has made with the same MAC address, are not taken for the NIC.
    assert booted.network["links"].split(",") == [NIC, "lo", "v2v.7", "v2vbridge"]
    # The initramfs has the driver of the NIC, and called it by another name if it did not know this one.
    assert "ens192: renamed from eth0" in booted.log
    assert "enp0s" not in booted.log
    assert booted.facts["failed"] == "0", booted.tail()


def test_the_static_address_is_the_one_that_was_asked_for(place: Place, static_address_guest: Path) -> None:
    report = place.root / "report.json"
    asked = f"{MAC}:ip:192.0.2.77,192.0.2.1,24,192.0.2.53"
    disk = overlay(static_address_guest, place.root / "disk.qcow2")
    metadata = convert_described(place, [disk], mac=MAC.upper(), options=["--mac", asked, "--report", report])
    interfaces = "/etc/network/interfaces"
    assert f"requested with --mac {MAC}:ip" in metadata
    made = json.loads(report.read_text())
    assert made["outcome"] == "converted"
    assert interfaces in [change["path"] for change in made["changes"]]
    text = read_files([disk], [interfaces])[interfaces]
    assert b"allow-hotplug ens192\niface ens192 inet static\n    address 192.0.2.77\n" in text
    assert b"192.0.2.10" not in text

    booted = boot([disk], nics=[MAC])
    assert booted.reached, booted.tail()
    print(booted.network)
    assert booted.network["addresses"] == f"{NIC}=192.0.2.77/24"
    assert booted.facts["failed"] == "0", booted.tail()


#: Two NICs in the opposite order of their slots, as in a machine of which one was removed and added again.
_VMX = """\
.encoding = "UTF-8"
config.version = "8"
virtualHW.version = "14"
displayName = "two-nics"
guestOS = "debian11-64"
memsize = "1024"
numvcpus = "1"
scsi0.present = "TRUE"
scsi0.virtualDev = "pvscsi"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "disk.vmdk"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "vmxnet3"
ethernet0.networkName = "Servers"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:01:00:c0"
ethernet0.pciSlotNumber = "192"
ethernet1.present = "TRUE"
ethernet1.virtualDev = "vmxnet3"
ethernet1.networkName = "Clients"
ethernet1.addressType = "static"
ethernet1.address = "00:50:56:01:00:a0"
ethernet1.pciSlotNumber = "160"
"""


def test_two_nics_that_the_network_configuration_does_not_name(place: Place) -> None:
    """kubev2v/forklift#3781, systemd/systemd#11681: a pattern finds the one, and a rule of nftables names the other."""
    (source,) = disks(RECIPES["debian12-two-nics"])
    machine = place.root / "machine"
    machine.mkdir()
    subprocess.run(["qemu-img", "convert", "-O", "vmdk", source, machine / "disk.vmdk"], check=True)
    (machine / "two-nics.vmx").write_text(_VMX)
    target = place.root / "target"
    target.mkdir()
    done = place.run("virt-v2v", "-i", "vmx", machine / "two-nics.vmx", "-o", "local", "-os", target, "-of", "qcow2")
    print(said(done))
    assert done.returncode == 0, said(done)
    disk = place.root / "disk.qcow2"
    disk.symlink_to(target / "two-nics-sda")
    files = read_files([disk], ["/etc/systemd/network/*.link"])
    macs = {OTHER_NIC: "00:50:56:01:00:a0", NIC: "00:50:56:01:00:c0"}
    pins = {f"/etc/systemd/network/10-v2v-{name}.link": mac for name, mac in macs.items()}
    assert files.keys() == pins.keys()
    assert all(f"MACAddress={pins[path]}\n".encode() in text for path, text in files.items())

    # The target's NICs are in the order of the source.
    booted = boot([disk], nics=["00:50:56:01:00:c0", "00:50:56:01:00:a0"])
    assert booted.reached, booted.tail()
    print(booted.network)
    for name, mac in macs.items():
        assert f"{name}/address:{mac}" in booted.log, booted.tail()
    assert f"{NIC}={ADDRESS}" in booted.network["addresses"].split(",")
    assert booted.network["links"].split(",") == [OTHER_NIC, NIC, "lo"]
    assert booted.facts["failed"] == "0", booted.tail()
