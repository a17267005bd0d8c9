# SPDX-License-Identifier: GPL-2.0-or-later
"""The number of heads in the boot sector of an NTFS, with which the loader of Windows XP and 2003 reads the disk.

The BIOS of the new machine counts heads by the size of the disk. Later versions of Windows do not use the number.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from v2v_convert_guestfs.appliance import libguestfs_errors_as
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.boot.disks import disk_of
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition

_HEADS = 0x1A
#: Bytes of disks that have fewer heads than 255.
_SMALL = ((2114445312, 0x40), (4228374780, 0x80))
_MOST = 0xFF


def look(session: Session, disks: Sequence[Disk], partitions: Sequence[Partition]) -> tuple[tuple[str, int], ...]:
    """Return the devices whose number of heads is wrong, each with the right one."""
    wrong = []
    for partition in dict.fromkeys(partitions):
        sector = bytes(session.handle.pread_device(partition.device, 512, 0))
        if len(sector) < 512 or sector[3:11] != b"NTFS    ":
            continue
        size = _size(session, disk_of(disks, partition))
        heads = next((heads for limit, heads in _SMALL if size < limit), _MOST)
        if struct.unpack_from("<H", sector, _HEADS)[0] != heads:
            wrong.append((partition.device, heads))
    return tuple(wrong)


def _size(session: Session, disk: Disk) -> int:
    stated = next((endpoint.size for endpoint in session.request.disks if endpoint.index == disk.index), None)
    return stated or int(session.handle.blockdev_getsize64(disk.device))


def change(session: Session, wrong: Sequence[tuple[str, int]]) -> None:
    """Write the right numbers.

    :raises ConversionError: one cannot be written.
    """
    for device, heads in wrong:
        with libguestfs_errors_as(f"the boot sector of {device} cannot be written"):
            session.handle.pwrite_device(device, struct.pack("<H", heads), _HEADS)
        session.changed(device, f"heads in the boot sector: {heads}", "the BIOS of KVM counts so many on this disk")
