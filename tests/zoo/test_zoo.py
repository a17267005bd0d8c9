# SPDX-License-Identifier: GPL-2.0-or-later
"""The zoo: every guest boots on virtio after its conversion, from the same filesystems and with the same network."""

from __future__ import annotations

import pytest

from described import convert_described
from guests.boot import boot
from guests.build import disks
from guests.disk_images import overlay
from guests.networks import ADDRESS, NIC
from guests.recipe import Recipe
from guests.recipes import DAILY, ZOO
from guests.storage import LUKS_PASSPHRASE
from runs import Place

MAC = "52:54:00:6a:6f:6f"

#: Seconds: on a busy machine without hardware virtualization; an encrypted guest takes longest.
BOOT_TIMEOUT = 600


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(recipe, id=name, marks=pytest.mark.slow if name in DAILY else pytest.mark.zoo)
        for name, recipe in ZOO.items()
    ],
)
def test_a_guest_of_the_zoo_boots_after_its_conversion(place: Place, recipe: Recipe) -> None:
    uefi = recipe.boot != "bios"
    copies = [overlay(image, place.root / f"{image.stem}.qcow2") for image in disks(recipe)]
    options = []
    if recipe.encrypted:
        key = place.root / "key"
        key.write_text(LUKS_PASSPHRASE + "\n")
        options = ["--key", f"all:file:{key}"]
    convert_described(place, copies, mac=MAC, uefi=uefi, options=options)

    booted = boot(copies, firmware="uefi" if uefi else "bios", nics=[MAC], timeout=BOOT_TIMEOUT)
    assert booted.reached, booted.tail()
    print(booted.facts, booted.network, f"{booted.seconds:.0f} s")
    assert booted.facts["failed"] == "0", booted.tail()
    renamed = {mountpoint: device.replace("/dev/sd", "/dev/vd") for mountpoint, device, _ in recipe.mounts}
    assert booted.mounts == renamed
    # the kernel's own names for those behind a key or in a volume group: how many there are has to do
    assert len(list(filter(None, booted.facts["swap"].split(",")))) == recipe.swaps
    assert booted.network["addresses"] == f"{NIC}={ADDRESS}"
    assert booted.network["links"].split(",") == [NIC, "lo"]
    # the one of two kernels that has drivers of virtio, though the other one was the menu's default
    assert ("cloud" in booted.facts["kernel"]) == bool(recipe.own_kernel)
