# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose static address is that of ``ens192`` has it on KVM, where the NIC is called ``enp0s1``, or another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from described import convert_described
from guests.boot import boot
from guests.disk_images import overlay
from guests.look import read_files
from guests.networks import ADDRESS, NIC
from runs import Place

pytestmark = pytest.mark.slow

MAC = "52:54:00:12:34:56"


def converted(place: Place, static_address_guest: Path, *options: str) -> tuple[Path, str]:
    """Convert the guest; give its disk and its metadata."""
    disk = overlay(static_address_guest, place.root / "disk.qcow2")
    return disk, convert_described(place, [disk], mac=MAC.upper(), options=options)


def test_the_static_address_survives(place: Place, static_address_guest: Path) -> None:
    disk, metadata = converted(place, static_address_guest)
    link = "/etc/systemd/network/10-v2v-ens192.link"
    assert link in metadata
    files = read_files([disk], [link, "/etc/network/interfaces"])
    assert f"MACAddress={MAC}".encode() in files[link]
    assert b"allow-hotplug ens192" in files["/etc/network/interfaces"]

    booted = boot([disk], nics=[MAC])
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
    disk, metadata = converted(place, static_address_guest, "--mac", asked, "--report", str(report))
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
