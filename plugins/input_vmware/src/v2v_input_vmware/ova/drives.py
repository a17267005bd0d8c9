# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the disks and removable drives of an OVF descriptor, and the buses that their controllers give them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lxml import etree

from v2v_core.api import Bus, Removable, SourceError
from v2v_input_vmware.ova.elements import CORRECT, NUMBER, Item, all_named, attribute, bytes_of_unit

#: CIM ResourceType.
_FLOPPY, _DISK, _OTHER = "14", "17", "1"
_CDROMS = frozenset({"15", "16"})
_CONTROLLERS = {"5": Bus.IDE, "6": Bus.SCSI, "20": Bus.SATA}
#: ResourceType 20 is "other storage device": the subtype, or else the name, says what it is. VMware and VirtualBox
#: write vmware.nvme.controller, NVMe, vmware.sata.ahci, AHCI.
_SUBTYPES = (("nvme", Bus.NVME), ("ahci", Bus.SATA), ("sata", Bus.SATA), ("scsi", Bus.SCSI), ("lsilogic", Bus.SCSI))
_HOST_RESOURCE = re.compile(r"(?i:ovf:)?/{0,2}(?P<kind>disk|file)/(?P<name>.+)")
#: An empty disk may have so many bytes: 64 TiB. VMware allows 62.
_LARGEST = 64 * 1024**4
_SECTOR = 512


@dataclass(frozen=True, kw_only=True)
class OvfDisk:
    """A disk as the descriptor describes it.

    :param href: name of its file, relative to the descriptor; None for an empty disk of ``capacity`` bytes.
    :param label: what messages call it.
    :param boot_order: position among the disks that the firmware tries, from 1; None if unknown.
    :param unit: its number on its controller; None if unknown.
    :param gzip: the file is compressed. :param chunked: the descriptor says that it is in several files.
    :param size: of the file, in bytes; None if unknown.
    :param capacity: of the disk, in bytes; None if unknown.
    """

    bus: Bus | None
    href: str | None
    label: str
    boot_order: int | None = None
    unit: int | None = None
    gzip: bool = False
    chunked: bool = False
    size: int | None = None
    capacity: int | None = None


Controllers = Mapping[str, Bus | None]
Warn = Callable[[str], None]


def read_controllers(items: Sequence[Item]) -> Controllers:
    """Return the buses of the controllers by their InstanceIDs."""
    return {item.values.get("InstanceID", ""): _bus_of(item) for item in items}


def _bus_of(controller: Item) -> Bus | None:
    if controller.kind not in {*_CONTROLLERS, _OTHER}:
        return None
    words = [controller.get("ResourceSubType") or ""]
    if not words[0] and controller.kind != _OTHER:
        words = [controller.get(name) or "" for name in ("ElementName", "Caption", "Description")]
    for word, bus in _SUBTYPES:
        # VMware's IDE and SCSI controllers have subtypes, too, but their ResourceType is sure
        if controller.kind in {"20", _OTHER} and any(word in text.lower() for text in words):
            return bus
    return _CONTROLLERS.get(controller.kind)


def read_disks(
    root: etree._Element,
    items: Sequence[Item],
    controllers: Controllers,
    boot_order: Mapping[str, int],
    warn: Warn,
) -> tuple[OvfDisk, ...]:
    """Return the disks, those of one controller in the order of their addresses.

    :param boot_order: positions by InstanceIDs.
    :param warn: called for each disk whose bus is not known or that is not attached to the machine.
    :raises SourceError: there is no disk, or a disk cannot be used.
    """
    files = {attribute(element, "id"): element for section in all_named(root, "References") for element in section}
    disks = {
        attribute(e, "diskId"): e for section in all_named(root, "DiskSection") for e in all_named(section, "Disk")
    }
    attached: set[str] = set()
    found: list[tuple[Item, OvfDisk]] = []
    for item in items:
        match = _HOST_RESOURCE.fullmatch(item.get("HostResource") or "")
        if match is not None:
            attached.add(match["name"])
        removable = item.kind == _FLOPPY or item.kind in _CDROMS
        # VirtualBox lists the images of CD-ROM drives as disks, too
        if removable or (item.kind != _DISK and (match is None or match["name"] not in disks)):
            continue
        if match is None:
            disk = _without_resource(item)
        elif match["kind"] == "file" or match["name"] not in disks:
            disk = _of_file(match["name"], files, match["kind"])
        else:
            disk = _of_disk(match["name"], disks[match["name"]], files)
        bus = bus_of_drive(item, controllers, warn)
        order, unit = boot_order.get(item.get("InstanceID") or ""), item.number("AddressOnParent")
        found.append((item, replace(disk, bus=bus, boot_order=order, unit=unit)))
    for name in disks:
        if name is not None and name not in attached:
            warn(f"the disk {name[:60]!r} in the OVF descriptor is not attached to the virtual machine: it is left out")
    if not found:
        raise SourceError("the OVF descriptor of the OVA has no disk", hint="there is nothing to convert")
    return tuple(disk for _, disk in _by_address(found))


def _by_address(disks: list[tuple[Item, OvfDisk]]) -> list[tuple[Item, OvfDisk]]:
    """Sort the disks of each controller by their addresses. The controllers keep the order of their first disks."""
    order: dict[str, int] = {}
    for item, _ in disks:
        order.setdefault(item.get("Parent") or "", len(order))
    addresses = [item.number("AddressOnParent") for item, _ in disks]
    keys = [
        (order[item.get("Parent") or ""], address if address is not None else 0)
        for (item, _), address in zip(disks, addresses, strict=True)
    ]
    return [disk for _, disk in sorted(zip(keys, disks, strict=True), key=lambda pair: pair[0])]


def _without_resource(item: Item) -> OvfDisk:
    """Return the empty disk that an item without a HostResource asks for (DSP0243, 8.4.2)."""
    resource, quantity = item.get("HostResource"), item.number("VirtualQuantity")
    if resource is not None or not quantity:
        raise SourceError(
            f"a disk in the OVF descriptor has the HostResource {(resource or '')[:60]!r}, which does not name a disk",
            hint=CORRECT,
        )
    return _empty(item.name, quantity * bytes_of_unit(item.get("AllocationUnits"), 1))


def _of_disk(name: str, disk: etree._Element, files: Mapping[str | None, etree._Element]) -> OvfDisk:
    capacity = attribute(disk, "capacity") or ""
    unit = bytes_of_unit(attribute(disk, "capacityAllocationUnits"), 1)
    size = int(capacity) * unit if NUMBER.fullmatch(capacity) else None
    if attribute(disk, "parentRef"):
        raise SourceError(
            f"the disk {name[:60]!r} in the OVF descriptor holds only the differences from another disk",
            hint="consolidate the disks of the guest, and export it again",
        )
    reference = attribute(disk, "fileRef")
    if reference:
        return replace(_of_file(reference, files, "disk"), capacity=size)
    if not size:
        raise SourceError(
            f"the disk {name[:60]!r} in the OVF descriptor has neither a file nor a capacity", hint=CORRECT
        )
    return _empty(name, size)


def _empty(name: str, capacity: int) -> OvfDisk:
    if capacity > _LARGEST:
        raise SourceError(
            f"the empty disk {name[:60]!r} in the OVF descriptor has {capacity} bytes, which is too much", hint=CORRECT
        )
    capacity = (capacity + _SECTOR - 1) // _SECTOR * _SECTOR
    return OvfDisk(bus=None, href=None, label=f"empty disk {name[:60]!r}", capacity=capacity)


def _of_file(reference: str, files: Mapping[str | None, etree._Element], kind: str) -> OvfDisk:
    file = files.get(reference)
    if file is None:
        raise SourceError(
            f"the OVF descriptor names the {kind} {reference[:60]!r}, but does not describe it", hint=CORRECT
        )
    href, compression = attribute(file, "href"), attribute(file, "compression") or "identity"
    if not href:
        raise SourceError("a file in the OVF descriptor has no name (href)", hint=CORRECT)
    if compression not in {"identity", "gzip"}:
        raise SourceError(
            f"the disk {href[:80]!r} of the OVA is compressed with {compression[:20]!r}, which is not supported",
            hint="only gzip is supported: export the guest without compression",
        )
    size = attribute(file, "size") or ""
    return OvfDisk(
        bus=None,
        href=href,
        label=href,
        gzip=compression == "gzip",
        chunked=bool(attribute(file, "chunkSize")),
        size=int(size) if NUMBER.fullmatch(size) else None,
    )


def bus_of_drive(item: Item, controllers: Controllers, warn: Warn) -> Bus | None:
    """Return the bus of a drive.

    :param warn: called if it is not known.
    """
    bus = controllers.get(item.get("Parent") or "")
    if bus is None:
        warn(f"the controller of {item.name} in the OVF descriptor is missing or unknown")
    return bus


def read_removables(items: Sequence[Item], controllers: Controllers, warn: Warn) -> tuple[Removable, ...]:
    """Return the CD-ROM and floppy drives.

    :param warn: called for each CD-ROM drive whose bus is not known.
    """
    found = []
    for item in items:
        if item.kind == _FLOPPY:
            # most descriptors have no controller for it, so there is no warning
            found.append(Removable(kind="floppy", bus=controllers.get(item.get("Parent") or ""), slot=_slot(item)))
        elif item.kind in _CDROMS:
            found.append(Removable(kind="cdrom", bus=bus_of_drive(item, controllers, warn), slot=_slot(item)))
    return tuple(found)


def _slot(item: Item) -> int | None:
    slot = item.number("AddressOnParent")
    return slot if slot is not None and slot < 1024 else None
