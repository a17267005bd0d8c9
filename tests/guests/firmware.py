# SPDX-License-Identifier: GPL-2.0-or-later
"""The same guest for the other firmware: what its boot loader needs on the first disk, and all the rest as it was."""

from __future__ import annotations

import dataclasses
import re

from guests.recipe import Recipe
from guests.storage import Disk, Layer, Luks, Raid, RandomSwap, Volume, VolumeGroup

ESP = Volume("esp", size=64, mountpoint="/boot/efi", named_by="uuid", options="umask=0077")

BIOS_BOOT = Volume("bios-boot", size=1)


def with_other_firmware(recipe: Recipe) -> Recipe:
    """Return the guest that boots from UEFI where this one boots from BIOS, or the other way round.

    The table is GPT, and the first partition is the firmware's; where there was none, the others have moved up by one.
    """
    own, boot, suffix = (ESP, "uefi", "uefi") if recipe.boot == "bios" else (BIOS_BOOT, "bios", "bios")
    first, *others = recipe.disks
    has_one = first.partitions[0].filesystem in {ESP.filesystem, BIOS_BOOT.filesystem}
    kept = first.partitions[1:] if has_one else first.partitions
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name.removesuffix('-uefi')}-{suffix}",
        disks=(Disk("gpt", first.size + own.size, (own, *kept)), *others),
        layers=recipe.layers if has_one else tuple(map(_moved_up, recipe.layers)),
        boot=boot,
    )


def _moved_up(layer: Layer) -> Layer:
    match layer:
        case Raid():
            return dataclasses.replace(layer, members=tuple(map(_next, layer.members)))
        case VolumeGroup():
            return dataclasses.replace(layer, on=tuple(map(_next, layer.on)))
        case Luks() | RandomSwap():
            return dataclasses.replace(layer, on=_next(layer.on))


def _next(device: str) -> str:
    """Return the partition after one of the first disk; what is not on that disk stays."""
    return re.sub(r"^sda(\d+)$", lambda found: f"sda{int(found[1]) + 1}", device)
