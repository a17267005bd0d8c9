# SPDX-License-Identifier: GPL-2.0-or-later
"""The disks of the OVF. Each appears as a file, as a disk and as a drive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from v2v_core.api import Bus, DestinationError, TargetDisk, TargetGuest
from v2v_output_rhv.ovf.tree import NO_UUID, add, uuid_of

if TYPE_CHECKING:
    from lxml import etree

_GIB = 1024**3
#: The names of oVirt's enumerations: mixed case in the OVF, upper case in ``.meta`` files.
_VOLUME_FORMATS = {"raw": "RAW", "qcow2": "COW"}
_VOLUME_TYPES = {"sparse": "Sparse", "preallocated": "Preallocated"}
#: Of the buses in the profile of the outputs.
_INTERFACES = {
    Bus.VIRTIO_BLK: "VirtIO",
    Bus.VIRTIO_SCSI: "VirtIO_SCSI",
    Bus.IDE: "IDE",
    # what a q35 has in place of IDE; every oVirt that has the q35 knows it
    Bus.SATA: "SATA",
}


@dataclass(frozen=True, kw_only=True)
class OvfDisk:
    """The place of a disk at the destination.

    :param index: number of the disk, from 1. :param size: virtual size in bytes.
    :param image_id: UUID of the image; oVirt calls it the disk. :param volume_id: UUID of its only volume.
    :param format: ``raw`` or ``qcow2``. :param allocation: ``sparse`` or ``preallocated``.
    :param actual_size: bytes that it occupies; if None, the OVF does not say.
    """

    index: int
    image_id: str
    volume_id: str
    size: int
    format: str
    allocation: str
    actual_size: int | None = None

    @property
    def volume_format(self) -> str:
        """Return oVirt's name of the format.

        :raises DestinationError: oVirt has no such format.
        """
        if self.format not in _VOLUME_FORMATS:
            raise DestinationError(
                f"disk {self.index}: oVirt does not know the format {self.format!r}", hint="use -of raw or -of qcow2"
            )
        return _VOLUME_FORMATS[self.format]

    @property
    def volume_type(self) -> str:
        """Return oVirt's name of the allocation.

        :raises DestinationError: oVirt has no such allocation.
        """
        if self.allocation not in _VOLUME_TYPES:
            raise DestinationError(f"disk {self.index}: {self.allocation!r} is neither sparse nor preallocated")
        return _VOLUME_TYPES[self.allocation]


class DiskWriter:
    """Writes the disks of one guest into the three sections in which an OVF has them.

    :param in_export_domain: name files by image and volume, and disks by their volume. Otherwise name files by their
        volume, and disks by their image.
    """

    def __init__(
        self, target: TargetGuest, disks: Sequence[OvfDisk], *, vm_id: str, generator: str, in_export_domain: bool
    ) -> None:
        self._disks = disks
        self._targets = {disk.index: disk for disk in target.disks}
        self._vm_id = vm_id
        self._generator = generator
        self._in_export_domain = in_export_domain
        self._boot_disk = self._find_boot_disk()

    def add_files(self, references: etree._Element) -> None:
        """Add the files to ``<References>``."""
        for disk in self._disks:
            attributes = {
                "ovf:href": self._file(disk),
                "ovf:id": disk.volume_id,
                "ovf:description": self._generator,
            }
            if disk.actual_size is not None:
                attributes["ovf:size"] = str(disk.actual_size)
            add(references, "File", attributes=attributes)

    def add_disks(self, section: etree._Element) -> None:
        """Add the disks to the list of disks."""
        for disk in self._disks:
            attributes = {
                "ovf:diskId": disk.volume_id if self._in_export_domain else disk.image_id,
                "ovf:size": _gib(disk.size),
                "ovf:capacity": str(disk.size),
                "ovf:fileRef": self._file(disk),
                "ovf:parentRef": "",
                "ovf:vm_snapshot_id": uuid_of(self._vm_id, f"snapshot of disk {disk.index}"),
                "ovf:volume-format": disk.volume_format,
                "ovf:volume-type": disk.volume_type,
                # the unit of the capacity, and not the format of the volume
                "ovf:format": "http://en.wikipedia.org/wiki/Byte",
                "ovf:disk-interface": self._interface(disk),
                "ovf:disk-type": "System",
                "ovf:boot": "True" if disk is self._boot_disk else "False",
            }
            if disk.actual_size is not None:
                attributes["ovf:actual_size"] = _gib(disk.actual_size)
            add(section, "Disk", attributes=attributes)

    def add_drives(self, hardware: etree._Element, *, storage_domain_id: str, time: str) -> None:
        """Add the drives to the hardware."""
        for disk in self._disks:
            item = add(hardware, "Item")
            # oVirt's reader takes the number of the disk from the text after "Drive "
            add(item, "rasd:Caption", f"Drive {disk.index}")
            add(item, "rasd:InstanceId", disk.volume_id)
            add(item, "rasd:ResourceType", 17)
            add(item, "Type", "disk")
            add(item, "rasd:HostResource", self._file(disk))
            add(item, "rasd:Parent", NO_UUID)
            add(item, "rasd:Template", NO_UUID)
            add(item, "rasd:ApplicationList")
            add(item, "rasd:StorageId", storage_domain_id)
            add(item, "rasd:StoragePoolId", NO_UUID)
            for name in ("CreationDate", "LastModified", "last_modified_date"):
                add(item, f"rasd:{name}", time)
            if disk is self._boot_disk:
                add(item, "BootOrder", 1)

    def _file(self, disk: OvfDisk) -> str:
        return f"{disk.image_id}/{disk.volume_id}" if self._in_export_domain else disk.volume_id

    def _target(self, disk: OvfDisk) -> TargetDisk:
        try:
            return self._targets[disk.index]
        except KeyError as err:
            raise DestinationError(f"the guest has no disk {disk.index}") from err

    def _interface(self, disk: OvfDisk) -> str:
        bus = self._target(disk).bus
        if bus not in _INTERFACES:
            # the guest was converted before core knew that it goes to oVirt
            raise DestinationError(
                f"disk {disk.index}: oVirt has no disks on {bus.value}",
                hint="run the check of this output before the conversion, which then chooses another bus",
            )
        return _INTERFACES[bus]

    def _find_boot_disk(self) -> OvfDisk | None:
        """Return the first disk in the boot order, or the first disk if no boot order is known."""
        ordered = [disk for disk in self._disks if self._target(disk).boot_order is not None]
        return min(ordered, key=lambda disk: self._target(disk).boot_order or 0, default=next(iter(self._disks), None))


def _gib(size: int) -> str:
    """Return a size in whole GiB, as oVirt reads it. It is rounded up so that no data is cut off."""
    return str(-(-size // _GIB))
