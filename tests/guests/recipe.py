# SPDX-License-Identifier: GPL-2.0-or-later
"""What a recipe of a guest is made of."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Literal

from guests.networks import PACKAGES, Network
from guests.storage import Disk, Layer, Luks, Placed, Raid, RandomSwap, VolumeGroup, placed

ROOT_PASSWORD = "v2v-test"

MARKER = "V2V-GUEST-UP"

_BASE_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "zstd", "busybox", "e2fsprogs"),
    "initramfs-tools",
)

# Of a guest that is made to look like another family: mmdebstrap and what comes after it find them all here.
_RPM_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "zstd", "e2fsprogs"),
    *("dracut", "rpm", "dnf", "grub2-common", "grub-pc-bin"),
)

_BOOT_LOADERS = {
    "bios": ("grub-pc",),
    "uefi": ("grub-efi-amd64",),
    "uefi-signed": ("grub-efi-amd64", "grub-efi-amd64-signed", "shim-signed"),
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one guest differ from another."""

    name: str
    suite: str
    disks: tuple[Disk, ...]
    layers: tuple[Layer, ...] = ()  # upon the partitions, from the lowest up
    boot: Literal["bios", "uefi", "uefi-signed"] = "bios"  # GRUB by firmware; signed by way of shim
    packages: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ("linux-image-amd64",)
    own_kernel: str = ""  # the flavour of the kernel that has no virtio drivers at all, and is the menu's default
    kernel_arguments: str = ""  # in addition to the consoles and root=
    linux_uuid: bool = True  # whether GRUB names the root filesystem by its UUID
    device_map: bool = False  # whether /boot/grub/device.map exists, as older installers left it
    initramfs_modules: tuple[str, ...] = ()  # exactly these in the initramfs, then MODULES=dep; else MODULES=most
    resume: str = ""
    network: Network = "none"
    brand: Literal["", "rhel7", "rhel9"] = ""  # made to look like it, with packages of rpm, dracut and grub2
    more_links: bool = False  # whether the guest makes a VLAN and a bridge before it tells of its network
    files: tuple[tuple[str, str], ...] = ()

    @property
    def all_packages(self) -> tuple[str, ...]:
        """Return everything to be installed; guests of one suite with the same packages share one bootstrap."""
        storage: list[str] = []
        for layer in self.layers:
            match layer:
                case Raid():
                    storage.append("mdadm")
                case VolumeGroup():
                    storage.append("lvm2")
                case _:
                    storage.append("cryptsetup-initramfs")
        filesystems = {place.volume.filesystem for place in self.places}
        storage += [
            f"{name}progs" if name == "xfs" else "btrfs-progs" for name in sorted(filesystems & {"xfs", "btrfs"})
        ]
        storage += ["dosfstools"] if "esp" in filesystems else []
        wanted = (
            *(_RPM_PACKAGES if self.brand else (*_BASE_PACKAGES, *_BOOT_LOADERS[self.boot])),
            *self.kernels,
            *storage,
            *PACKAGES[self.network],
            *self.packages,
        )
        return tuple(dict.fromkeys(wanted))

    @property
    def places(self) -> tuple[Placed, ...]:
        """Return every volume with its device."""
        return tuple(placed(self.disks, self.layers))

    @property
    def mounts(self) -> tuple[tuple[str, str, str], ...]:
        """Return mount point, device (with /dev/) and mount options of every filesystem, from the root up."""
        return tuple(
            sorted(
                (mountpoint, f"/dev/{place.device}", options)
                for place in self.places
                for mountpoint, options in place.volume.mounts
            )
        )

    @property
    def swaps(self) -> int:
        """Return how many swap areas the guest uses."""
        made = sum(place.volume.filesystem == "swap" for place in self.places)
        return made + sum(isinstance(layer, RandomSwap) for layer in self.layers)

    @property
    def encrypted(self) -> bool:
        """Return whether the guest asks for a passphrase when it boots."""
        return any(isinstance(layer, Luks) for layer in self.layers)


def disk_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the file names of the guest's disks, in their order."""
    return tuple(f"sd{chr(ord('a') + index)}.img" for index in range(len(recipe.disks)))


def identity_of(recipe: Recipe, what: str) -> uuid.UUID:
    """Return the same UUID for the same thing in every build."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{what}.{recipe.name}.test")


def source_of(recipe: Recipe, place: Placed) -> str:
    """Return what names the volume in /etc/fstab."""
    if place.volume.named_by == "device":
        return f"/dev/{place.device}"
    return f"UUID={filesystem_identity(recipe, place)}"


def filesystem_identity(recipe: Recipe, place: Placed) -> str:
    """Return the UUID of the filesystem, which is half as long on FAT."""
    identity = identity_of(recipe, place.short)
    if place.volume.filesystem == "esp":
        return f"{identity.hex[:4]}-{identity.hex[4:8]}".upper()
    return str(identity)
