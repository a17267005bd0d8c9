# SPDX-License-Identifier: GPL-2.0-or-later
"""The zoo has at least one guest of every kind."""

from __future__ import annotations

from guests.recipe import Recipe
from guests.recipes import DAILY_OF_THE_ZOO, ZOO
from guests.storage import Luks, Raid, RandomSwap, VolumeGroup


def layers(recipe: Recipe) -> set[type[object]]:
    return {type(layer) for layer in recipe.layers}


def test_every_release_firmware_table_and_filesystem_is_there() -> None:
    guests = ZOO.values()
    assert {recipe.suite for recipe in guests} == {"bullseye", "bookworm", "trixie", "forky"}
    assert {recipe.boot for recipe in guests} == {"bios", "uefi", "uefi-signed"}
    assert {disk.label for recipe in guests for disk in recipe.disks} == {"dos", "gpt"}
    roots = {
        place.volume.filesystem for recipe in guests for place in recipe.places if "/" in dict(place.volume.mounts)
    }
    assert roots == {"ext4", "xfs", "btrfs"}
    assert {recipe.network for recipe in guests} == {"ifupdown", "networkd", "netplan", "networkmanager"}


def test_every_layer_is_there_alone_and_upon_another() -> None:
    found = [layers(recipe) for recipe in ZOO.values()]
    assert all(wanted in found for wanted in ({VolumeGroup}, {Raid}, {Luks, RandomSwap}, {Luks, VolumeGroup}))
    assert any(recipe.resume for recipe in ZOO.values())
    assert any(recipe.own_kernel for recipe in ZOO.values())
    assert any(recipe.initramfs_modules and recipe.encrypted for recipe in ZOO.values())


def test_every_layout_is_there_with_both_firmwares() -> None:
    firmwares: dict[tuple[object, ...], set[str]] = {}
    for recipe in ZOO.values():
        volumes = tuple(place.volume for place in recipe.places if place.volume.filesystem not in {"esp", "bios-boot"})
        layout = (recipe.suite, volumes, recipe.kernels, recipe.network)
        firmwares.setdefault(layout, set()).add("bios" if recipe.boot == "bios" else "uefi")
    assert len(firmwares) == len(ZOO) / 2
    assert all(found == {"bios", "uefi"} for found in firmwares.values())


def test_the_daily_ones_are_guests_of_the_zoo() -> None:
    assert set(DAILY_OF_THE_ZOO) <= set(ZOO)
