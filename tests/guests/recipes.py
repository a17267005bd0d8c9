# SPDX-License-Identifier: GPL-2.0-or-later
"""The guests that there are: everything that makes one differ from another."""

from __future__ import annotations

import dataclasses
import uuid
from typing import Literal

ROOT_PASSWORD = "v2v-test"

MARKER = "V2V-GUEST-UP"


@dataclasses.dataclass(frozen=True)
class Partition:
    """One partition: what is in it and how the guest's /etc/fstab names it."""

    filesystem: Literal["ext4", "xfs", "swap", "bios-boot"]
    size: int = 0  # MiB; 0 takes what is left of the disk
    mountpoint: str = ""
    named_by: Literal["device", "uuid"] = "device"
    options: str = "defaults"


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk: its partition table and its partitions, in order."""

    label: Literal["dos", "gpt"]
    size: int  # MiB
    partitions: tuple[Partition, ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Everything that makes one guest differ from another."""

    name: str
    suite: str
    disks: tuple[Disk, ...]
    packages: tuple[str, ...] = ()
    kernel_arguments: str = ""  # in addition to the consoles and root=
    linux_uuid: bool = True  # whether GRUB names the root filesystem by its UUID
    device_map: bool = False  # whether /boot/grub/device.map exists, as older installers left it
    initramfs_modules: tuple[str, ...] = ()  # exactly these in the initramfs, then MODULES=dep; else MODULES=most
    resume: str = ""
    files: tuple[tuple[str, str], ...] = ()


BASE_PACKAGES = (
    *("systemd-sysv", "udev", "dbus", "kmod", "procps", "zstd", "busybox", "e2fsprogs"),
    *("initramfs-tools", "linux-image-amd64", "grub-pc"),
)

# As Debian's installer leaves it on VMware, where the first NIC sits in PCI slot 192.
_STATIC_ADDRESS = """\
auto lo
iface lo inet loopback

allow-hotplug ens192
iface ens192 inet static
    address 192.0.2.10/24
    gateway 192.0.2.1
"""

_ADDRESSES_SCRIPT_PATH = "/usr/local/share/v2v-addresses"

# A VLAN and a bridge have the MAC address of the NIC as well: they must keep their names and leave it its own.
_ADDRESSES_SCRIPT = f"""\
tries=0
until ip -o -4 address show scope global | grep -q . || [ $tries -ge 30 ]; do
    tries=$((tries + 1))
    sleep 1
done
addresses=$(ip -o -4 address show scope global | awk '{{ print $2 "=" $4 }}' | paste -sd,)
nic=$(ls /sys/class/net | grep -v lo | head -n 1)
ip link add link "$nic" name v2v.7 type vlan id 7
ip link add name v2vbridge address "$(cat /sys/class/net/$nic/address)" type bridge
udevadm settle --timeout=60
links=$(ls /sys/class/net | paste -sd,)
printf '\\n{MARKER}-NETWORK addresses=%s links=%s\\n' "$addresses" "$links"
"""

_ADDRESSES_DROP_IN = f"""\
[Unit]
After=networking.service

[Service]
ExecStartPre=/bin/sh {_ADDRESSES_SCRIPT_PATH}
"""

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="debian12-vmware",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Partition("ext4", mountpoint="/", options="errors=remount-ro"),)),),
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
                        Partition("bios-boot", size=1),
                        Partition("ext4", size=256, mountpoint="/boot", named_by="uuid"),
                        Partition("xfs", size=2048, mountpoint="/", named_by="uuid"),
                        Partition("swap"),
                    ),
                ),
                Disk("dos", 256, (Partition("ext4", mountpoint="/srv/data"),)),
            ),
            packages=("xfsprogs",),
            kernel_arguments="resume=/dev/sda4",
            resume="/dev/sda4",
            files=(("/srv/data/ledger.txt", "this file lives on the second disk\n"),),
        ),
        Recipe(
            name="debian12-static-address",
            suite="bookworm",
            disks=(Disk("dos", 2048, (Partition("ext4", mountpoint="/", options="errors=remount-ro"),)),),
            packages=("ifupdown", "iproute2"),
            files=(
                ("/etc/network/interfaces", _STATIC_ADDRESS),
                (_ADDRESSES_SCRIPT_PATH, _ADDRESSES_SCRIPT),
                (f"/etc/systemd/system/{MARKER.lower()}.service.d/addresses.conf", _ADDRESSES_DROP_IN),
            ),
        ),
    )
}


def disk_names(recipe: Recipe) -> tuple[str, ...]:
    """Return the file names of the guest's disks, in their order."""
    return tuple(f"sd{chr(ord('a') + index)}.img" for index in range(len(recipe.disks)))


def identity_of(recipe: Recipe, what: str) -> uuid.UUID:
    """Return the same UUID for the same thing in every build."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{what}.{recipe.name}.test")
