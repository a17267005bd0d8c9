# SPDX-License-Identifier: GPL-2.0-or-later
"""The names by which Windows finds a partition: in the boot configuration (BCD) and in ``MountedDevices``.

The layouts of the bytes were found by comparing those of real systems with their disks.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from v2v_convert_guestfs.windows.boot.layout import Disk, Partition

_GPT_VOLUME = b"DMIO:ID:"
_MBR_VOLUME = 12
#: A device element of the BCD: 16 bytes of options, the kind, flags, the length from here on; then what the kind needs.
_HEADER = struct.Struct("<16xIIII")
_PARTITION_KIND = 6
_PARTITION_LENGTH = 72
_GPT_STYLE, _MBR_STYLE = 0, 1


@dataclass(frozen=True)
class Place:
    """A partition as Windows names it: by signature and offset, or by its GUID.

    :param disk_guid: of the GPT, where it is named as well.
    """

    signature: int | None = None
    offset: int | None = None
    guid: uuid.UUID | None = None
    disk_guid: uuid.UUID | None = None

    def __str__(self) -> str:
        """Return it for a message."""
        if self.guid is not None:
            return f"GPT partition {{{self.guid}}}"
        return f"MBR signature 0x{self.signature:08x}, offset {self.offset}"


class DeviceKind(StrEnum):
    """What a device element of the BCD means."""

    #: The partition that the boot manager was started from.
    BOOT = "boot"
    PARTITION = "partition"
    #: The first partition that has the file.
    LOCATE = "locate"
    #: An image file, or something else.
    OTHER = "other"


_PLACELESS = {5: DeviceKind.BOOT, 8: DeviceKind.LOCATE}


@dataclass(frozen=True)
class BootDevice:
    """A device element of the BCD. :param place: of a partition."""

    kind: DeviceKind
    place: Place | None = None


def place_of(disk: Disk, partition: Partition) -> Place:
    """Return how Windows names a partition."""
    if partition.guid is not None:
        return Place(guid=partition.guid, disk_guid=disk.guid)
    return Place(signature=disk.signature, offset=partition.start)


def find(disks: Sequence[Disk], place: Place) -> Partition | None:
    """Return the partition that Windows would find, or None.

    A GUID of the disk that does not match is no partition, as for Windows's boot manager.
    """
    for disk in disks:
        for partition in disk.partitions:
            own = place_of(disk, partition)
            if place.guid is not None:
                if own.guid == place.guid and place.disk_guid in {None, own.disk_guid}:
                    return partition
            elif own.guid is None and (own.signature, own.offset) == (place.signature, place.offset):
                return partition
    return None


def of_volume(data: bytes) -> Place | None:
    """Return what a value of ``MountedDevices`` names; None for CD-ROMs and other devices, which it names by path."""
    if len(data) == _MBR_VOLUME:
        signature, offset = struct.unpack("<IQ", data)
        return Place(signature=signature, offset=offset)
    if len(data) == len(_GPT_VOLUME) + 16 and data.startswith(_GPT_VOLUME):
        return Place(guid=uuid.UUID(bytes_le=data[len(_GPT_VOLUME) :]))
    return None


def as_volume(place: Place) -> bytes:
    """Return the value of ``MountedDevices`` for a partition."""
    if place.guid is not None:
        return _GPT_VOLUME + place.guid.bytes_le
    return struct.pack("<IQ", place.signature, place.offset)


def of_element(data: bytes) -> BootDevice:
    """Return what a device element of the BCD means."""
    kind = _HEADER.unpack_from(data)[0] if len(data) >= _HEADER.size else None
    if kind in _PLACELESS:
        return BootDevice(_PLACELESS[kind])
    if kind != _PARTITION_KIND or len(data) < _HEADER.size + 40:
        return BootDevice(DeviceKind.OTHER)
    medium, style = struct.unpack_from("<II", data, 48)
    if medium == 0 and style == _GPT_STYLE:
        own, disk = uuid.UUID(bytes_le=data[32:48]), uuid.UUID(bytes_le=data[56:72])
        return BootDevice(DeviceKind.PARTITION, Place(guid=own, disk_guid=disk))
    if medium == 0 and style == _MBR_STYLE:
        offset, signature = struct.unpack_from("<Q", data, 32)[0], struct.unpack_from("<I", data, 56)[0]
        return BootDevice(DeviceKind.PARTITION, Place(signature=signature, offset=offset))
    return BootDevice(DeviceKind.OTHER)


def as_element(place: Place) -> bytes:
    """Return the device element of the BCD for a partition."""
    header = _HEADER.pack(_PARTITION_KIND, 0, _PARTITION_LENGTH, 0)
    if place.guid is not None and place.disk_guid is not None:
        body = place.guid.bytes_le + struct.pack("<II", 0, _GPT_STYLE) + place.disk_guid.bytes_le
    else:
        body = struct.pack("<Q8xIII12x", place.offset, 0, _MBR_STYLE, place.signature)
    return header + body + bytes(16)
