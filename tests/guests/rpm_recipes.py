# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of the Red Hat family, as an installer leaves them on VMware; their programs are Debian's."""

from __future__ import annotations

from guests.recipe import Recipe
from guests.storage import Disk, Volume, VolumeGroup

_VMWARE = ("mptspi", "mptsas", "vmw_pvscsi", "ata_piix", "sd_mod", "xfs")

_KERNELS = ("linux-image-amd64", "linux-image-cloud-amd64")

_GUESTS = (
    # The default layout. The default kernel has no virtio drivers, like one that the administrator has built.
    Recipe(
        name="rhel9-like-bls",
        suite="bookworm",
        brand="rhel9",
        disks=(Disk("dos", 3072, (Volume("xfs", size=512, mountpoint="/boot", named_by="uuid"), Volume("nothing"))),),
        layers=(
            VolumeGroup(
                "rhel",
                ("sda2",),
                (
                    Volume("xfs", name="root", size=2304, mountpoint="/"),
                    Volume("swap", name="swap", size=128),
                ),
            ),
        ),
        kernels=_KERNELS,
        own_kernel="amd64",
        kernel_arguments="resume=/dev/mapper/rhel-swap",
        initramfs_modules=(*_VMWARE, "dm_mod"),
        network="networkmanager",
    ),
    # Names of disks everywhere, as on machines that were physical ones.
    Recipe(
        name="rhel7-like-grub2",
        suite="bookworm",
        brand="rhel7",
        disks=(
            Disk(
                "dos",
                3072,
                (
                    Volume("xfs", size=512, mountpoint="/boot"),
                    Volume("swap", size=128),
                    Volume("xfs", mountpoint="/"),
                ),
            ),
        ),
        # The same ones as the other guest has, so that one bootstrap is enough for both.
        packages=("lvm2", "network-manager"),
        kernels=_KERNELS,
        linux_uuid=False,
        device_map=True,
        kernel_arguments="resume=/dev/sda2",
        initramfs_modules=_VMWARE,
        network="ifcfg",
    ),
)

RPM_GUESTS: dict[str, Recipe] = {recipe.name: recipe for recipe in _GUESTS}

#: The one whose entries are files of their own, as they are since Red Hat 8.
DAILY_RPM_GUESTS = ("rhel9-like-bls",)
