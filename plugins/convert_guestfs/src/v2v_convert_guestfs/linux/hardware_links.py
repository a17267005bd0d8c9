# SPDX-License-Identifier: GPL-2.0-or-later
"""Which disks of the source a link can mean that udev has made from the disk's hardware.

``disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0`` is target 1 of a SCSI controller, ``disk/by-id/virtio-DATA`` the disk
with this serial number. The numbers of PCI slots say nothing: a source seldom states those of its controllers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_core.api import Bus, SourceDisk

_PLACE = re.compile(r"disk/by-path/.*-(?P<kind>scsi|ata|nvme|lun)-(?P<numbers>[\d:.]{1,40})", re.ASCII)
_BUSES = {
    "scsi": frozenset({Bus.SCSI, Bus.VIRTIO_SCSI}),
    "ata": frozenset({Bus.IDE, Bus.SATA}),
    "nvme": frozenset({Bus.NVME}),
    "virtio": frozenset({Bus.VIRTIO_BLK}),
}
_MODEL = re.compile(r"disk/by-id/(?P<kind>nvme|ata|virtio)-", re.ASCII)
#: udev cuts the serial number of a virtio disk.
_LONGEST_SERIAL = 20
#: A shorter one could be a part of another number.
_SHORTEST_SERIAL = 8


def disks_of_link(link: str, disks: Sequence[SourceDisk]) -> frozenset[int]:
    """Return the indexes of the disks that a link can mean, from 0: all of them if the source does not say."""
    of_serial = frozenset(index for index, disk in enumerate(disks) if disk.serial and _has(link, disk.serial))
    if len(of_serial) == 1:
        return of_serial
    everything = frozenset(range(len(disks)))
    place, model = _PLACE.fullmatch(link), _MODEL.match(link)
    kind = place["kind"] if place else model["kind"] if model else ""
    buses = _BUSES.get(kind)
    on_bus = frozenset(i for i in everything if buses is None or disks[i].bus is None or disks[i].bus in buses)
    if place is None:
        return on_bus or everything
    at_place = frozenset(index for index in on_bus if _is_at(disks[index], kind, place["numbers"]))
    return at_place or on_bus or everything


def _has(link: str, serial: str) -> bool:
    """Return whether the name of a link has a serial number, with or without its hyphens and blanks."""
    text, plain = (re.sub(r"[^0-9a-z]", "", each.lower()) for each in (link, serial[:64]))
    if len(plain) >= _SHORTEST_SERIAL and (plain in text or text.endswith(plain[:_LONGEST_SERIAL])):
        return True
    return bool(plain) and re.search(rf"[_-]{re.escape(serial[:_LONGEST_SERIAL])}$", link) is not None


def _is_at(disk: SourceDisk, kind: str, numbers: str) -> bool:
    """Return whether a disk can be at such a place of its controller. What is not known may be anything."""
    parts = [int(number) for number in re.findall(r"\d+", numbers)]
    if disk.unit is None:
        return True
    if kind == "scsi" and len(parts) == 4:
        # qemu gives each disk a LUN of target 0, other hypervisors a target.
        return disk.unit == (parts[3] if disk.bus is Bus.VIRTIO_SCSI else parts[2])
    if kind == "ata" and parts:
        if disk.bus is Bus.SATA:
            return disk.unit == parts[0] - 1
        fits_channel = disk.controller is None or disk.controller == parts[0] - 1
        return fits_channel and (len(parts) < 2 or disk.unit == parts[1])
    return True
