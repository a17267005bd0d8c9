# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with systemd-boot boots from virtio: its entries and the copies of its images are changed."""

from __future__ import annotations

import re

import pytest

from described import convert_described
from guests.boot import boot
from guests.disk_images import overlay
from guests.look import read_files
from guests.recipe import MARKER
from guests.systemd_boot import systemd_boot_guest
from runs import Place

pytestmark = [pytest.mark.zoo, pytest.mark.timeout(3600)]

MAC = "52:54:00:73:64:62"
BOOT_TIMEOUT = 600


def test_a_guest_with_systemd_boot(place: Place) -> None:
    source = systemd_boot_guest()
    disk = overlay(source, place.root / "sda.qcow2")
    metadata = convert_described(place, [disk], mac=MAC, uefi=True)
    assert "virtio_pci, virtio_blk, virtio_scsi" in metadata
    entries = read_files([disk], ["/boot/efi/loader/entries/*.conf", "/etc/kernel/cmdline", "/etc/fstab"])
    assert len(entries) == 4
    assert not [path for path, data in entries.items() if b"/dev/sda" in data]
    booted = boot([disk], firmware="uefi", until=rf"{MARKER} .*failed=\d+\n", timeout=BOOT_TIMEOUT)
    assert booted.reached, booted.tail()
    print(booted.facts, f"{booted.seconds:.0f} s")
    assert booted.facts["failed"] == "0", booted.tail()
    assert (booted.facts["root"], booted.facts["esp"]) == ("/dev/vda2", "/dev/vda1")
    # The first of the menu, as before.
    assert re.search(r"-amd64$", booted.facts["kernel"])


def test_the_source_does_not_boot_from_virtio() -> None:
    """Otherwise the test above would prove nothing. Firmware and loader come up; then the kernel sees no disk."""
    booted = boot([systemd_boot_guest()], firmware="uefi", until=rf"{MARKER} ", timeout=BOOT_TIMEOUT)
    assert not booted.reached
    assert "ALERT!" in booted.reason, booted.tail()
