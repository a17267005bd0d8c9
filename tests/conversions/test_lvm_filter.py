# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest whose LVM accepts only the disks of its SAN finds its root on KVM: its initramfs has a copy of the filter."""

from __future__ import annotations

from pathlib import Path

import pytest

from described import convert_described
from guests.boot import boot
from guests.disk_images import overlay
from guests.look import read_files
from runs import Place

pytestmark = pytest.mark.slow


@pytest.mark.timeout(2400)
def test_the_filter_in_the_initramfs_accepts_the_new_disk(place: Place, lvm_filter_guest: Path) -> None:
    configuration = "/etc/lvm/lvm.conf"
    assert b"^/dev/(sda|mapper" in read_files([lvm_filter_guest], [configuration])[configuration]
    disk = overlay(lvm_filter_guest, place.root / "sda.qcow2")
    metadata = convert_described(place, [disk], mac="52:54:00:6a:6f:6f", uefi=True)
    assert configuration in metadata
    text = read_files([disk], [configuration])[configuration]
    assert text == b'devices {\n\tfilter = [ "a|^/dev/(vda|mapper/mpath[a-z])|", "r|.*|" ]\n}\n'

    booted = boot([disk], firmware="uefi", timeout=600)
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert booted.mounts["/"] == "/dev/mapper/vg0-root"
    assert booted.facts["swap"]
