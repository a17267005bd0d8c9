# SPDX-License-Identifier: GPL-2.0-or-later
"""What Windows puts between its disks and its file systems: dynamic disks (LDM) and Storage Spaces."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from enum import Enum

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.disks import is_dynamic, parse_gpt
from v2v_convert_guestfs.filesystems.limits import Limit, read_start
from v2v_convert_guestfs.session import Session

#: The type of a partition that belongs to a pool of Storage Spaces, and the mark at its beginning.
_POOL = uuid.UUID("E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D")
_POOL_MARK = b"SPACEDB "
#: Bytes: as much of a disk as its partition table takes, with the usual 128 entries and blocks of up to 4 KiB.
_TABLE_SIZE = 2 * 4096 + 128 * 128
#: libguestfs's names of volumes on dynamic disks.
_LDM_DEVICE = "/dev/mapper/ldm_"


class Layer(Enum):
    """A layer, by what a disk under it is."""

    DYNAMIC = "a dynamic disk (LDM)"
    POOL = "a part of a pool of Storage Spaces"


@dataclass(frozen=True)
class Layers:
    """The layers on the guest's disks, by disk."""

    disks: dict[str, Layer]

    def named(self, layer: Layer) -> list[str]:
        """Return the disks with a layer."""
        return [disk for disk, found in self.disks.items() if found is layer]

    def below(self, device: str) -> Layer | None:
        """Return the layer that a file system is on; None for an ordinary partition or disk."""
        if device.startswith(_LDM_DEVICE):
            return Layer.DYNAMIC
        return self.disks.get(re.sub(r"(?<=\d)p\d+$|(?<=[a-z])\d+$", "", device))


_BASIC_DISK = (
    "at the source, move Windows to a basic disk, for example by restoring a backup to one; or copy the disk without a "
    "conversion, start the guest from SATA with a small virtio disk beside it, so that Windows installs the driver, "
    "and then switch its own disk to virtio"
)
_ALL_MEMBERS = "give all disks of the pool; a Windows that is in a pool itself cannot be converted"


def find_layers(session: Session) -> Layers:
    """Look at the beginning of each disk and partition."""
    handle, found = session.handle, dict[str, Layer]()
    partitions = [str(partition) for partition in handle.list_partitions()]
    for disk in (str(disk) for disk in handle.list_devices()):
        try:
            start = bytes(handle.pread_device(disk, _TABLE_SIZE, 0))
        except RuntimeError as err:
            session.report.debug(f"{disk}: {brief(err)}")
            continue
        own = (disk, *(one for one in partitions if re.fullmatch(re.escape(disk) + r"p?\d+", one)))
        if is_dynamic(start):
            found[disk] = Layer.DYNAMIC
        elif _POOL in parse_gpt(start) or any(read_start(handle, one).startswith(_POOL_MARK) for one in own):
            found[disk] = Layer.POOL
    return Layers(found)


def why_not_on(layer: Layer, device: str) -> tuple[str, str]:
    """Return why a Windows on this layer cannot be converted, and what helps."""
    if layer is Layer.DYNAMIC:
        return (
            f"Windows ({device}) is on a dynamic disk (LDM): it does not start from a virtio disk that it has not seen "
            "before",
            _BASIC_DISK,
        )
    return f"Windows ({device}) is in a pool of Storage Spaces, which the appliance cannot read", _ALL_MEMBERS


def warn_of_data_disks(session: Session, layers: Layers) -> None:
    """Warn of dynamic disks and pools that hold no system: they are copied as they are."""
    root = layers.below(session.inspection.root)
    if root is not Layer.DYNAMIC and (dynamic := layers.named(Layer.DYNAMIC)):
        session.report.warning(
            f"dynamic disks (LDM) are copied as they are: {', '.join(dynamic)}. Windows may show them as foreign or "
            "offline at its first start on KVM: import them in the disk management, or with diskpart (import, online)"
        )
    if pools := layers.named(Layer.POOL):
        session.report.warning(
            f"disks of a pool of Storage Spaces are copied as they are: {', '.join(pools)}. All disks of the pool must "
            "go to KVM together; if the pool is read-only or detached there, Set-StoragePool -IsReadOnly $false and "
            "Connect-VirtualDisk bring it back"
        )


def limits_without_a_system(session: Session) -> list[Limit]:
    """Return the layers as reasons why no operating system was found."""
    layers = find_layers(session)
    limits = []
    if dynamic := layers.named(Layer.DYNAMIC):
        limits.append(Limit(f"{', '.join(dynamic)}: a dynamic disk of Windows (LDM)", _BASIC_DISK))
    if pools := layers.named(Layer.POOL):
        limits.append(
            Limit(
                f"{', '.join(pools)}: a part of a pool of Storage Spaces, which the appliance cannot read", _ALL_MEMBERS
            )
        )
    return limits
