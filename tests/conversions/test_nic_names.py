# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose static address is that of ``ens192`` has it on KVM, where the NIC is called ``enp0s1``."""

from __future__ import annotations

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


def test_the_static_address_survives(place: Place, static_address_guest: Path) -> None:
    disk = overlay(static_address_guest, place.root / "disk.qcow2")
    metadata = convert_described(place, [disk], mac=MAC.upper())
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
