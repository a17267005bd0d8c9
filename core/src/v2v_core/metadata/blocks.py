# SPDX-License-Identifier: GPL-2.0-or-later
"""The logical blocks of the target's disks, in which partition tables count: 512 bytes, or 4096 ("4Kn").

A disk keeps the size that it had at the source. With another one the guest finds no partition.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from v2v_core.errors import ConversionError
from v2v_core.model import Bus, Firmware, Guest, TargetDisk, TargetProfile

_USUAL = 512
#: The buses on which QEMU has disks with other blocks; its IDE and SATA disks have 512 bytes.
_ANY_SIZE = frozenset({Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SCSI, Bus.NVME})


def with_sizes(
    disks: Sequence[TargetDisk],
    guest: Guest,
    found: Sequence[int],
    firmware: Firmware,
    profile: TargetProfile,
    warn: Callable[[str], None],
) -> tuple[TargetDisk, ...]:
    """Return the disks of the target with their sizes in bytes, and with the sizes of their logical blocks.

    :param found: what the conversion found, in the order of the guest's disks; () for what the source says.
    :raises ConversionError: the target cannot have such a disk.
    """
    sized = []
    for disk in disks:
        number, source = next(pair for pair in enumerate(guest.disks) if pair[1].index == disk.index)
        block_size = found[number] if len(found) == len(guest.disks) else source.block_size or _USUAL
        sized.append(dataclasses.replace(disk, size=source.size, block_size=block_size))
    for disk in sized:
        _check(disk, profile)
    first = min(sized, key=lambda disk: disk.boot_order or len(sized) + 1, default=None)
    if first is not None and first.block_size != _USUAL and firmware is Firmware.BIOS:
        warn(
            f"the guest boots from disk {first.index}, whose logical blocks have {first.block_size} bytes: the BIOS of "
            "QEMU boots only from disks with 512, UEFI from both"
        )
    return tuple(sized)


def _check(disk: TargetDisk, profile: TargetProfile) -> None:
    blocks = f"disk {disk.index} has logical blocks of {disk.block_size} bytes (4Kn)"
    if disk.block_size not in profile.block_sizes:
        offered = ", ".join(map(str, profile.block_sizes))
        raise ConversionError(
            f"{blocks}, and at this target disks can have {offered} only: the guest would find no partition on it",
            hint="choose another target, such as -o local, or move the guest at the source to a disk with blocks of "
            "512 bytes",
        )
    if disk.block_size != _USUAL and disk.bus not in _ANY_SIZE:
        raise ConversionError(
            f"{blocks}, which QEMU has on virtio disks only, and the guest has no driver for these",
            hint="install the drivers virtio_blk or virtio_scsi in the guest at the source",
        )
