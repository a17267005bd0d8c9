# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole document: the sections of each flavour, and their order.

oVirt reads it with ``OvfReader.java`` and its neighbours in ovirt-engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from v2v_core.api import TargetGuest
from v2v_output_rhv.ovf.disks import DiskWriter, OvfDisk
from v2v_output_rhv.ovf.hardware import HardwareWriter, bios_type, origin, summary
from v2v_output_rhv.ovf.os_types import is_server, os_type
from v2v_output_rhv.ovf.tree import NAMESPACES, NO_UUID, add, generator, qualified

if TYPE_CHECKING:
    from lxml import etree


class Flavour(StrEnum):
    """The two forms of an OVF: ``ovirt`` is read through oVirt's API, ``ovirtexp`` from an export domain."""

    OVIRT = "ovirt"
    EXPORT_DOMAIN = "ovirtexp"


#: The number of the resource type "graphics device".
_VIDEO = {Flavour.OVIRT: 32768, Flavour.EXPORT_DOMAIN: 20}


def build_ovf(
    target: TargetGuest,
    *,
    name: str,
    vm_id: str,
    storage_domain_id: str,
    disks: Sequence[OvfDisk],
    flavour: Flavour,
    created: datetime,
    warn: Callable[[str], None],
) -> bytes:
    """Return the OVF of a guest.

    The same arguments give the same document. CD-ROM and floppy drives are left out: oVirt gives each machine its own.

    :param name: name of the virtual machine. :param vm_id: its UUID.
    :param storage_domain_id: UUID of the storage domain of the disks.
    :param disks: the disks, in the order of the guest. :param created: the time of creation, in any time zone.
    :param warn: called with a text for each thing that oVirt cannot give the guest as it was at the source.
    :raises DestinationError: the guest does not have a disk, or oVirt does not know a format or an allocation.
    """
    from lxml import etree

    made_by = generator()
    time = created.astimezone(UTC).strftime("%Y/%m/%d %H:%M:%S")
    writer = DiskWriter(
        target, disks, vm_id=vm_id, generator=made_by, in_export_domain=flavour is Flavour.EXPORT_DOMAIN
    )
    root = etree.Element(qualified("ovf:Envelope"), {qualified("ovf:version"): "0.9"}, nsmap=NAMESPACES)
    root.append(etree.Comment(f" {made_by} "))
    writer.add_files(add(root, "References"))
    networks = _add_section(root, "NetworkSection", flavour)
    add(networks, "Info", "List of networks")
    for nic in target.nics:
        add(networks, "Network", attributes={"ovf:name": nic.network})
    disk_list = _add_section(root, "DiskSection", flavour)
    add(disk_list, "Info", "List of Virtual Disks")
    writer.add_disks(disk_list)
    system = _add_system(root, vm_id, flavour)
    _add_properties(system, target, name=name, made_by=made_by, time=time)
    _add_os(system, target, vm_id, flavour, warn)
    hardware = _add_section(system, "VirtualHardwareSection", flavour)
    add(hardware, "Info", summary(target))
    devices = HardwareWriter(target, vm_id=vm_id, video=_VIDEO[flavour], warn=warn)
    devices.add_machine(hardware)
    writer.add_drives(hardware, storage_domain_id=storage_domain_id, time=time)
    for number, nic in enumerate(target.nics):
        devices.add_nic(hardware, number, nic)
    devices.add_sound(hardware)
    etree.indent(root)
    written: bytes = etree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return written + b"\n"


def _add_section(
    parent: etree._Element, name: str, flavour: Flavour, attributes: dict[str, str] | None = None
) -> etree._Element:
    """Add a section: by its own element name (ovirt), or as ``<Section>`` with a type (ovirtexp)."""
    if flavour is Flavour.OVIRT:
        return add(parent, name, attributes=attributes)
    return add(parent, "Section", attributes={**(attributes or {}), "xsi:type": f"ovf:{name}_Type"})


def _add_system(root: etree._Element, vm_id: str, flavour: Flavour) -> etree._Element:
    if flavour is Flavour.OVIRT:
        return add(root, "VirtualSystem", attributes={"ovf:id": vm_id})
    return add(root, "Content", attributes={"ovf:id": "out", "xsi:type": "ovf:VirtualSystem_Type"})


def _add_properties(system: etree._Element, target: TargetGuest, *, name: str, made_by: str, time: str) -> None:
    properties: dict[str, str | int | None] = {
        "Name": name,
        "TemplateId": NO_UUID,
        "TemplateName": "Blank",
        "Description": made_by,
        "Domain": "",
        "CreationDate": time,
        # oVirt's own spelling
        "IsInitilized": "True",
        "IsAutoSuspend": "False",
        "TimeZone": "",
        "IsStateless": "False",
        "VmType": 1 if is_server(target.inspection) else 0,
        "DefaultDisplayType": 2,
        "BiosType": bios_type(target),
        "CustomCpuName": target.source.cpu.model,
        "Origin": origin(target),
    }
    for tag, value in properties.items():
        if value is not None:
            add(system, tag, value or None if isinstance(value, str) else value)


def _add_os(
    system: etree._Element, target: TargetGuest, vm_id: str, flavour: Flavour, warn: Callable[[str], None]
) -> None:
    system_type = os_type(target.inspection, warn)
    attributes = {"ovf:id": vm_id, "ovf:required": "false"}
    if flavour is Flavour.OVIRT:
        attributes["ovirt:id"] = str(system_type.number)
    section = _add_section(system, "OperatingSystemSection", flavour, attributes)
    add(section, "Info", target.inspection.product_name or "")
    add(section, "Description", system_type.name)
