# SPDX-License-Identifier: GPL-2.0-or-later
"""All guests, by name."""

from __future__ import annotations

from guests.firmware import ESP
from guests.recipe import MARKER, Recipe
from guests.rpm_recipes import DAILY_RPM_GUESTS, RPM_GUESTS
from guests.storage import Disk, Volume, VolumeGroup
from guests.zoo import DAILY_OF_THE_ZOO, ZOO

__all__ = ["DAILY", "DAILY_OF_THE_ZOO", "MARKER", "RECIPES", "ZOO"]

_NOTHING = Volume("nothing")

#: As administrators write it for guests with disks of a SAN: it is copied into the initramfs.
LVM_FILTER = 'devices {\n\tfilter = [ "a|^/dev/(sda|mapper/mpath[a-z])|", "r|.*|" ]\n}\n'

_PLAIN: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="debian12-vmware",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Volume("ext4", mountpoint="/", options="errors=remount-ro"),)),),
            packages=("open-vm-tools",),
            linux_uuid=False,
            device_map=True,
            initramfs_modules=("mptspi", "mptsas", "vmw_pvscsi", "ata_piix", "sd_mod", "ext4"),
        ),
        Recipe(
            name="debian13-two-disks",
            suite="trixie",
            disks=(
                Disk(
                    "gpt",
                    2560,
                    (
                        Volume("bios-boot", size=1),
                        Volume("ext4", size=256, mountpoint="/boot", named_by="uuid"),
                        Volume("xfs", size=2048, mountpoint="/", named_by="uuid"),
                        Volume("swap"),
                    ),
                ),
                Disk("dos", 256, (Volume("ext4", mountpoint="/srv/data"),)),
            ),
            kernel_arguments="resume=/dev/sda4",
            resume="/dev/sda4",
            files=(("/srv/data/ledger.txt", "this file lives on the second disk\n"),),
        ),
        Recipe(
            name="debian13-lvm-filter",
            suite="trixie",
            disks=(Disk("gpt", 2816, (ESP, Volume("ext4", size=256, mountpoint="/boot", named_by="uuid"), _NOTHING)),),
            layers=(
                VolumeGroup(
                    "vg0",
                    ("sda3",),
                    (
                        Volume("ext4", name="root", size=2048, mountpoint="/", options="errors=remount-ro"),
                        Volume("swap", name="swap", size=128),
                    ),
                ),
            ),
            boot="uefi",
            # So that it shares its bootstrap with a guest of the zoo.
            packages=("cryptsetup-initramfs",),
            network="networkmanager",
            files=(("/etc/lvm/lvm.conf", LVM_FILTER),),
        ),
        Recipe(
            name="debian12-static-address",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Volume("ext4", mountpoint="/", options="errors=remount-ro"),)),),
            network="ifupdown",
            more_links=True,
        ),
        Recipe(
            name="debian12-two-nics",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Volume("ext4", mountpoint="/", options="errors=remount-ro"),)),),
            network="two-nics",
        ),
    )
}

#: The guests of ``make test``; the others take an hour more.
DAILY: dict[str, Recipe] = _PLAIN | {
    name: recipe for name, recipe in (ZOO | RPM_GUESTS).items() if name in (*DAILY_OF_THE_ZOO, *DAILY_RPM_GUESTS)
}

RECIPES: dict[str, Recipe] = _PLAIN | ZOO | RPM_GUESTS
