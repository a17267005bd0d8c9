# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest with two images for one kernel boots: the image that GRUB loads has got the drivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from described import convert_described
from guests.boot import boot
from guests.disk_images import overlay
from guests.look import mounted
from runs import Place

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
def test_a_shorter_name_does_not_make_an_image_the_one_that_grub_loads(place: Place, vmware_guest: Path) -> None:
    disk = overlay(vmware_guest, place.root / "sda.qcow2")
    with mounted(disk, "/dev/sda1") as guest:
        (loaded,) = guest.glob_expand("/boot/initrd.img-*")
        # As a tool of an earlier release left it.
        guest.cp(loaded, loaded.replace("/initrd.img-", "/initrd-"))
    metadata = convert_described(place, [disk], mac="52:54:00:6a:6f:6f")
    assert loaded in metadata

    booted = boot([disk], timeout=600)
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert booted.mounts["/"] == "/dev/vda1"
