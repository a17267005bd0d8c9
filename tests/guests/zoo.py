# SPDX-License-Identifier: GPL-2.0-or-later
"""The zoo: guests that differ in release, partition table, firmware, storage, initramfs, kernels and network."""

from __future__ import annotations

from guests.firmware import BIOS_BOOT, ESP, with_other_firmware
from guests.recipe import Recipe
from guests.storage import Disk, Luks, Raid, RandomSwap, Volume, VolumeGroup

#: What the kernel of a guest on VMware needs before its root filesystem, and what MODULES=dep would have found there.
_VMWARE = ("mptspi", "mptsas", "vmw_pvscsi", "ata_piix", "sd_mod")

#: So that two guests share one bootstrap, as the installer has both ready.
_BOTH = ("cryptsetup-initramfs", "lvm2")

_BTRFS = Volume("btrfs", named_by="uuid", subvolumes=(("@", "/"), ("@home", "/home")))

_GUESTS = (
    Recipe(
        name="debian11-lvm",
        suite="bullseye",
        disks=(Disk("dos", 2560, (Volume("ext4", size=256, mountpoint="/boot"), Volume("nothing"))),),
        layers=(
            VolumeGroup(
                "debian11-vg",
                ("sda2",),
                (
                    Volume("ext4", name="root", size=1792, mountpoint="/", options="errors=remount-ro"),
                    Volume("ext4", name="home", size=64, mountpoint="/home"),
                    Volume("swap", name="swap_1", size=128),
                ),
            ),
        ),
        initramfs_modules=(*_VMWARE, "ext4", "dm_mod"),
        resume="/dev/mapper/debian11--vg-swap_1",
        packages=_BOTH,
        network="ifupdown",
    ),
    Recipe(
        name="debian11-luks",
        suite="bullseye",
        disks=(
            Disk(
                "dos",
                2560,
                (
                    Volume("ext4", size=256, mountpoint="/boot", named_by="uuid"),
                    Volume("nothing", size=1920),
                    Volume("nothing"),
                ),
            ),
        ),
        layers=(
            Luks("sda2_crypt", "sda2", Volume("ext4", size=1888, mountpoint="/")),
            RandomSwap("sda3_crypt", "sda3"),
        ),
        initramfs_modules=(*_VMWARE, "ext4", "dm_mod", "dm_crypt"),
        packages=_BOTH,
        network="ifupdown",
    ),
    Recipe(
        name="debian12-raid",
        suite="bookworm",
        disks=(
            Disk("dos", 2560, (Volume("nothing", size=272), Volume("nothing"))),
            Disk("dos", 2560, (Volume("nothing", size=272), Volume("nothing"))),
        ),
        layers=(
            Raid(0, ("sda1", "sdb1"), Volume("ext4", size=256, mountpoint="/boot", named_by="uuid")),
            Raid(1, ("sda2", "sdb2"), Volume("xfs", size=2240, mountpoint="/")),
        ),
        network="networkd",
    ),
    Recipe(
        name="debian12-lvm-uefi",
        suite="bookworm",
        disks=(Disk("gpt", 2560, (ESP, Volume("nothing"))),),
        layers=(
            VolumeGroup(
                "vg0",
                ("sda2",),
                (
                    Volume("xfs", name="root", size=2048, mountpoint="/"),
                    Volume("swap", name="swap", size=128),
                ),
            ),
        ),
        boot="uefi",
        initramfs_modules=(*_VMWARE, "xfs", "dm_mod"),
        resume="/dev/mapper/vg0-swap",
        network="netplan",
    ),
    Recipe(
        name="debian13-luks-lvm",
        suite="trixie",
        disks=(
            Disk(
                "gpt",
                2816,
                (ESP, Volume("ext4", size=256, mountpoint="/boot", named_by="uuid"), Volume("nothing")),
            ),
        ),
        layers=(
            Luks("sda3_crypt", "sda3", Volume("nothing"), named_by="device"),
            VolumeGroup(
                "debian13-vg",
                ("mapper/sda3_crypt",),
                (
                    Volume("ext4", name="root", size=2048, mountpoint="/", options="errors=remount-ro"),
                    Volume("swap", name="swap_1", size=128),
                ),
            ),
        ),
        boot="uefi",
        resume="/dev/mapper/debian13--vg-swap_1",
        network="networkmanager",
    ),
    Recipe(
        name="debian13-two-kernels",
        suite="trixie",
        disks=(Disk("gpt", 2560, (BIOS_BOOT, Volume("ext4", mountpoint="/", named_by="uuid"))),),
        kernels=("linux-image-amd64", "linux-image-cloud-amd64"),
        own_kernel="amd64",
        network="networkd",
    ),
    Recipe(
        name="debian14-btrfs",
        suite="forky",
        disks=(Disk("gpt", 2560, (BIOS_BOOT, _BTRFS)),),
        network="networkd",
    ),
    Recipe(
        name="debian14-btrfs-uefi",
        suite="forky",
        disks=(Disk("gpt", 2560, (ESP, _BTRFS)),),
        boot="uefi-signed",
        network="networkd",
    ),
)

#: The layout that is above with both firmwares; the others get the second one here.
_HAS_BOTH = ("debian14-btrfs", "debian14-btrfs-uefi")

_TWINS = tuple(with_other_firmware(recipe) for recipe in _GUESTS if recipe.name not in _HAS_BOTH)

ZOO: dict[str, Recipe] = {recipe.name: recipe for recipe in (*_GUESTS, *_TWINS)}

#: The one that tells most: GPT and UEFI, /boot by itself, a volume group behind a key, NetworkManager.
DAILY_OF_THE_ZOO = ("debian13-luks-lvm",)
