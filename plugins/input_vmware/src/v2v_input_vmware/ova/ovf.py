# SPDX-License-Identifier: GPL-2.0-or-later
"""Read OVF descriptors: DMTF DSP0243 (Open Virtualization Format), with CIM_ResourceAllocationSettingData for devices.

Elements are found by their local names. OVF 1 and 2 have different namespaces, but do not differ in the elements that
are read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lxml import etree

from v2v_core.api import (
    Bus,
    Cpu,
    Firmware,
    Guest,
    Nic,
    Removable,
    SourceDisk,
    SourceError,
    Topology,
    UntrustedXmlError,
    parse_untrusted_xml,
)

_MIB = 1024 * 1024
_DEFAULT_MEMORY = 1024 * _MIB
#: CIM ResourceType.
_PROCESSOR, _MEMORY, _NIC, _FLOPPY, _DISK = "3", "4", "10", "14", "17"
_CDROMS = frozenset({"15", "16"})
_TPM = "vmware.vtpm"
_CONTROLLERS = {"5": Bus.IDE, "6": Bus.SCSI, "20": Bus.SATA}
#: Devices of one virtual machine; VMware's limits add up to fewer.
_MOST_DEVICES = 1000
_NUMBER = re.compile(r"[0-9]{1,18}")
_BYTES = re.compile(r"byte\s*\*\s*2\s*\^\s*([0-9]{1,2})", re.IGNORECASE)
_UNITS = {"bytes": 1, "kilobytes": 1024, "megabytes": _MIB, "gigabytes": 1024 * _MIB}


@dataclass(frozen=True, kw_only=True)
class OvfDisk:
    """A disk as the descriptor describes it.

    :param href: name of its file, relative to the descriptor.
    :param boot_order: position among the disks that the firmware tries, from 1; None if unknown.
    :param gzip: the file is compressed.
    :param size: of the file, in bytes; None if unknown.
    :param capacity: of the disk, in bytes; None if unknown.
    """

    bus: Bus | None
    href: str
    boot_order: int | None = None
    gzip: bool = False
    size: int | None = None
    capacity: int | None = None


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """The guest and the disks that a descriptor describes."""

    guest: Guest
    disks: tuple[OvfDisk, ...]


def parse_ovf(data: bytes, fallback_name: str, warn: Callable[[str], None]) -> Descriptor:
    """Read a descriptor.

    :param fallback_name: name of the guest if the descriptor has none.
    :param warn: called for each setting that is ignored.
    :raises SourceError: the descriptor is not usable.
    """
    try:
        root = parse_untrusted_xml(data)
    except UntrustedXmlError as err:
        raise SourceError(f"the OVF descriptor of the OVA is not usable: {err}", hint="export the guest again") from err
    systems = _all(root, "VirtualSystem")
    if not systems:
        raise SourceError(
            "the OVF descriptor of the OVA does not describe a virtual machine", hint="export the guest again"
        )
    if len(systems) > 1:
        raise SourceError(
            f"the OVA holds {len(systems)} virtual machines, but only one can be converted at a time",
            hint="export each virtual machine separately",
        )
    system = systems[0]
    items = _items(root, system)
    name = _name(system)
    if not name:
        warn(f"the OVF descriptor has no name for the guest: it is called {fallback_name}")
    controllers = {item.values.get("InstanceID", ""): _CONTROLLERS.get(item.kind) for item in items}
    disks = _disks(root, items, controllers, _boot_order(system), warn)
    guest = Guest(
        name=name or fallback_name,
        hypervisor="vmware",
        memory=_memory(items),
        cpu=_cpu(items, system, warn),
        firmware=_firmware(system),
        secure_boot=_config(system, "bootOptions.efiSecureBootEnabled") == "true",
        disks=tuple(
            SourceDisk(index=i, bus=disk.bus, origin=disk.href, boot_order=disk.boot_order)
            for i, disk in enumerate(disks, 1)
        ),
        removables=_removables(items, controllers, warn),
        nics=_nics(items),
        tpm="2.0" if any(item.get("ResourceSubType") == _TPM for item in items) else None,
        os=next(
            (name for each in _all(system, "OperatingSystemSection") if (name := _attribute(each, "osType"))), None
        ),
    )
    return Descriptor(guest=guest, disks=disks)


@dataclass(frozen=True)
class _Item:
    """A device: the text of each child element, by its local name."""

    values: dict[str, str]

    @classmethod
    def of(cls, element: etree._Element) -> _Item:
        return cls({_local(child): (child.text or "").strip() for child in element if isinstance(child.tag, str)})

    @property
    def kind(self) -> str:
        return self.values.get("ResourceType", "")

    def get(self, name: str) -> str | None:
        return self.values.get(name) or None

    def number(self, name: str) -> int | None:
        value = self.values.get(name, "")
        return int(value) if _NUMBER.fullmatch(value) else None


def _items(root: etree._Element, system: etree._Element) -> list[_Item]:
    """Return the devices that all deployment configurations share, and those of the default configuration."""
    configurations = _all(root, "Configuration")
    default = next((c for c in configurations if _attribute(c, "default") == "true"), None)
    if default is None and configurations:
        default = configurations[0]
    chosen = _attribute(default, "id") if default is not None else None
    items = []
    for element in system.iter("{*}Item", "{*}StorageItem", "{*}EthernetPortItem"):
        only = _attribute(element, "configuration")
        if only is None or chosen in only.split():
            items.append(_Item.of(element))
    if len(items) > _MOST_DEVICES:
        raise SourceError(
            f"the OVF descriptor of the OVA has {len(items)} devices",
            hint="no virtual machine has so many: export the guest again",
        )
    return items


def _name(system: etree._Element) -> str | None:
    for element in system:
        if isinstance(element.tag, str) and _local(element) == "Name":
            return (element.text or "").strip() or None
    return None


def _memory(items: list[_Item]) -> int:
    for item in items:
        if item.kind == _MEMORY and (quantity := item.number("VirtualQuantity")):
            return quantity * _unit(item.get("AllocationUnits"), _MIB)
    return _DEFAULT_MEMORY


def _unit(text: str | None, default: int) -> int:
    """Return the bytes of a unit, 2^60 at most: ``byte * 2^20`` (DSP0004 annex C), or ``MegaBytes``."""
    if text is None:
        return default
    programmatic = _BYTES.fullmatch(text.strip())
    if programmatic:
        return int(1 << min(60, int(programmatic[1])))
    return _UNITS.get(text.strip().lower(), 1 if text.strip().lower() == "byte" else default)


def _cpu(items: list[_Item], system: etree._Element, warn: Callable[[str], None]) -> Cpu:
    count = next((n for item in items if item.kind == _PROCESSOR and (n := item.number("VirtualQuantity"))), 1)
    cores = next((text for element in _all(system, "CoresPerSocket") if (text := (element.text or "").strip())), None)
    if cores is None:
        return Cpu(count=count)
    if not _NUMBER.fullmatch(cores) or not 0 < int(cores) <= count:
        warn(f"CoresPerSocket in the OVF descriptor is {cores[:20]!r}, but there are {count} CPUs: it is ignored")
        return Cpu(count=count)
    return Cpu(count=count, topology=Topology(sockets=count // int(cores), cores=int(cores), threads=1))


def _firmware(system: etree._Element) -> Firmware:
    value = _config(system, "firmware")
    if value is None:
        return Firmware.UNKNOWN
    known = {"bios": Firmware.BIOS, "efi": Firmware.UEFI}
    if value not in known:
        raise SourceError(
            f"the firmware {value[:20]!r} in the OVF descriptor is unknown",
            hint="it must be bios or efi: export the guest again, or correct vmw:Config key=firmware",
        )
    return known[value]


def _config(system: etree._Element, key: str) -> str | None:
    """Return a setting of VMware's in lower case, or None."""
    settings = (element for element in _all(system, "Config") if _attribute(element, "key") == key)
    return next(((_attribute(element, "value") or "").lower() for element in settings), None)


def _boot_order(system: etree._Element) -> dict[str, int]:
    """Return the positions of disks in the boot order of VMware's sections, by InstanceID."""
    sections = (each for each in _all(system, "BootOrderSection") if _attribute(each, "type") == "disk")
    named = dict.fromkeys(name for each in sections if (name := _attribute(each, "instanceId")))
    return {name: place for place, name in enumerate(named, 1)}


def _disks(
    root: etree._Element,
    items: list[_Item],
    controllers: Mapping[str, Bus | None],
    boot_order: Mapping[str, int],
    warn: Callable[[str], None],
) -> tuple[OvfDisk, ...]:
    files = {_attribute(element, "id"): element for section in _all(root, "References") for element in section}
    disks = {_attribute(e, "diskId"): e for section in _all(root, "DiskSection") for e in _all(section, "Disk")}
    found = []
    for item in items:
        if item.kind != _DISK:
            continue
        resource = item.get("HostResource") or ""
        match = re.fullmatch(r"(?:ovf:)?/disk/(.+)", resource)
        if match is None:
            raise SourceError(
                f"a disk in the OVF descriptor has the HostResource {resource[:60]!r}, which does not name a disk",
                hint="export the guest again",
            )
        disk = disks.get(match[1])
        reference = _attribute(disk, "fileRef") if disk is not None else None
        if disk is None or reference is None or reference not in files:
            raise SourceError(
                f"the disk {match[1][:60]!r} in the OVF descriptor has no file",
                hint="a disk without content is not exported: remove it at the hypervisor, and export the guest again",
            )
        described = _disk(disk, files[reference], _bus(item, controllers, warn))
        found.append(replace(described, boot_order=boot_order.get(item.get("InstanceID") or "")))
    if not found:
        raise SourceError("the OVF descriptor of the OVA has no disk", hint="there is nothing to convert")
    return tuple(found)


def _disk(disk: etree._Element, file: etree._Element, bus: Bus | None) -> OvfDisk:
    href, compression = _attribute(file, "href"), _attribute(file, "compression") or "identity"
    if not href:
        raise SourceError("a file in the OVF descriptor has no name (href)", hint="export the guest again")
    if compression not in {"identity", "gzip"}:
        raise SourceError(
            f"the disk {href[:80]!r} of the OVA is compressed with {compression[:20]!r}, which is not supported",
            hint="only gzip is supported: export the guest without compression",
        )
    if _attribute(file, "chunkSize"):
        raise SourceError(
            f"the disk {href[:80]!r} of the OVA is split into chunks, which is not supported",
            hint="export the guest without chunks",
        )
    size, capacity = _attribute(file, "size") or "", _attribute(disk, "capacity") or ""
    unit = _unit(_attribute(disk, "capacityAllocationUnits"), 1)
    return OvfDisk(
        bus=bus,
        href=href,
        gzip=compression == "gzip",
        size=int(size) if _NUMBER.fullmatch(size) else None,
        capacity=int(capacity) * unit if _NUMBER.fullmatch(capacity) else None,
    )


def _bus(item: _Item, controllers: Mapping[str, Bus | None], warn: Callable[[str], None]) -> Bus | None:
    bus = controllers.get(item.get("Parent") or "")
    if bus is None:
        warn(f"the controller of {item.get('ElementName') or 'a drive'} in the OVF descriptor is missing or unknown")
    return bus


def _removables(
    items: list[_Item], controllers: Mapping[str, Bus | None], warn: Callable[[str], None]
) -> tuple[Removable, ...]:
    found = []
    for item in items:
        if item.kind == _FLOPPY:
            # most descriptors have no controller for it, so there is no warning
            found.append(Removable(kind="floppy", bus=controllers.get(item.get("Parent") or ""), slot=_slot(item)))
        elif item.kind in _CDROMS:
            found.append(Removable(kind="cdrom", bus=_bus(item, controllers, warn), slot=_slot(item)))
    return tuple(found)


def _slot(item: _Item) -> int | None:
    slot = item.number("AddressOnParent")
    return slot if slot is not None and slot < 1024 else None


def _nics(items: list[_Item]) -> tuple[Nic, ...]:
    nics = []
    for number, item in enumerate(item for item in items if item.kind == _NIC):
        connection, model = item.get("Connection"), item.get("ResourceSubType")
        nics.append(
            Nic(
                network=connection or f"eth{number}",
                kind="bridge" if connection else "network",
                mac=item.get("Address"),
                model=model.lower() if model else None,
            )
        )
    return tuple(nics)


def _all(element: etree._Element, name: str) -> list[etree._Element]:
    return list(element.iter("{*}" + name))


def _local(element: etree._Element) -> str:
    return str(etree.QName(element).localname)


def _attribute(element: etree._Element, name: str) -> str | None:
    """Return an attribute, with or without a namespace, or None."""
    for key, value in element.attrib.items():
        if etree.QName(str(key)).localname == name:
            return str(value)
    return None
