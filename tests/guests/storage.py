# SPDX-License-Identifier: GPL-2.0-or-later
"""What the disks of a guest hold: partitions, and the arrays, keys and volume groups upon them; values only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Literal

LUKS_PASSPHRASE = "v2v test passphrase"


@dataclasses.dataclass(frozen=True)
class Volume:
    """One partition or logical volume, or what is in an array or behind a key: what it holds, and its name in fstab.

    :param size: MiB; 0 takes what is left of the disk. It is the size of the filesystem too, except where that is less
        than what there is room for: what lies inside an array or behind a key has to state it.
    :param subvolumes: of btrfs, each with its mount point, instead of one mount point.
    :param name: of a logical volume.
    """

    filesystem: Literal["ext4", "xfs", "btrfs", "esp", "swap", "bios-boot", "nothing"]
    size: int = 0
    mountpoint: str = ""
    named_by: Literal["device", "uuid"] = "device"
    options: str = "defaults"
    subvolumes: tuple[tuple[str, str], ...] = ()
    name: str = ""

    @property
    def mounts(self) -> tuple[tuple[str, str], ...]:
        """Return every mount point with the mount options that it needs."""
        if self.subvolumes:
            return tuple((mountpoint, f"subvol={name}") for name, mountpoint in self.subvolumes)
        return ((self.mountpoint, ""),) if self.mountpoint else ()


@dataclasses.dataclass(frozen=True)
class Disk:
    """One disk: its partition table and its partitions, in order."""

    label: Literal["dos", "gpt"]
    size: int  # MiB
    partitions: tuple[Volume, ...]


@dataclasses.dataclass(frozen=True)
class Raid:
    """An md array, RAID 1, of partitions that are named without /dev/."""

    number: int
    members: tuple[str, ...]
    holds: Volume

    @property
    def device(self) -> str:
        """Return its name, without /dev/."""
        return f"md{self.number}"


@dataclasses.dataclass(frozen=True)
class Luks:
    """An encrypted volume (LUKS 2) with the passphrase ``LUKS_PASSPHRASE``, and how /etc/crypttab names it."""

    name: str
    on: str
    holds: Volume
    named_by: Literal["device", "uuid"] = "uuid"


@dataclasses.dataclass(frozen=True)
class RandomSwap:
    """Swap behind a key that is made anew at each start: the build writes /etc/crypttab and nothing else."""

    name: str
    on: str


@dataclasses.dataclass(frozen=True)
class VolumeGroup:
    """A volume group of LVM and its logical volumes."""

    name: str
    on: tuple[str, ...]
    volumes: tuple[Volume, ...]


Layer = Raid | Luks | RandomSwap | VolumeGroup


@dataclasses.dataclass(frozen=True)
class Placed:
    """A volume and its device, without /dev/; ``layered`` if no partition table has it."""

    device: str
    volume: Volume
    layered: bool = False

    @property
    def short(self) -> str:
        """Return the last part of the device's name."""
        return self.device.rpartition("/")[2]


def placed(disks: Sequence[Disk], layers: Sequence[Layer]) -> Iterator[Placed]:
    """Yield every volume of a guest with its device: partitions first, then upwards."""
    for index, disk in enumerate(disks):
        for number, partition in enumerate(disk.partitions, start=1):
            yield Placed(f"sd{chr(ord('a') + index)}{number}", partition)
    for layer in layers:
        match layer:
            case Raid():
                yield Placed(layer.device, layer.holds, layered=True)
            case Luks():
                yield Placed(f"mapper/{layer.name}", layer.holds, layered=True)
            case VolumeGroup():
                for volume in layer.volumes:
                    yield Placed(f"mapper/{_mapped(layer.name)}-{_mapped(volume.name)}", volume, layered=True)
            case RandomSwap():
                # Its source, a partition, has been yielded; what is in it is not there before the guest starts.
                pass


def _mapped(name: str) -> str:
    """Return a name of LVM as the device mapper has it, where one hyphen stands between group and volume."""
    return name.replace("-", "--")
