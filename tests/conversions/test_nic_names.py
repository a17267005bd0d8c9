# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest keeps the static address of ``ens192``, which on KVM would be called ``enp0s1`` or otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from described import NIC_ADDRESS as MAC
from described import ConvertedInPlace, convert_described
from guests.boot import boot
from guests.disk_images import overlay
from guests.look import read_files
from guests.networks import ADDRESS, NIC
from runs import Place

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
