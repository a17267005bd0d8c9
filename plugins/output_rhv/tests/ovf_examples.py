# SPDX-License-Identifier: GPL-2.0-or-later
"""The three guests of the golden files, and helpers that make their OVFs and parse them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from v2v_core.api import (
    Bus,
    Capabilities,
    Cpu,
    Display,
    Firmware,
    Guest,
    Inspection,
    Nic,
    Removable,
    SourceDisk,
    TargetDisk,
    TargetGuest,
    TargetRemovable,
    Topology,
)
from v2v_output_rhv.ovf import Flavour, OvfDisk, build_ovf
from v2v_output_rhv.ovf.tree import NAMESPACES

GOLDEN = Path(__file__).parent / "golden"
GIB = 1024**3
CREATED = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
VM_ID = "7f7b1e5c-8a3b-4e64-9c5e-0d2b6a4c1f00"
STORAGE_ID = "12345678-1234-1234-1234-123456789abc"


@dataclass(frozen=True)
class Example:
    """A guest with the places of its disks."""

    target: TargetGuest
    disks: tuple[OvfDisk, ...]

    def ovf(self, flavour: Flavour, warn: Callable[[str], None] = lambda text: None, name: str | None = None) -> bytes:
        """Make the OVF."""
        return build_ovf(
            self.target,
            name=self.target.name if name is None else name,
            vm_id=VM_ID,
            storage_domain_id=STORAGE_ID,
            disks=self.disks,
            flavour=flavour,
            created=CREATED,
            warn=warn,
        )


def place(index: int, size: int, *, disk_format: str = "raw", actual_size: int | None = None) -> OvfDisk:
    """Return the place of a disk."""
    return OvfDisk(
        index=index,
        image_id=f"aaaaaaaa-0000-4000-8000-00000000000{index}",
        volume_id=f"bbbbbbbb-0000-4000-8000-00000000000{index}",
        size=size,
        format=disk_format,
        allocation="preallocated" if disk_format == "qcow2" else "sparse",
        actual_size=actual_size,
    )


def linux(firmware: Firmware) -> Example:
    """Return a small Linux guest: an i440fx with BIOS, or a q35 with UEFI."""
    size = 6 * GIB + 512
    uefi = firmware is Firmware.UEFI
    return Example(
        TargetGuest(
            source=Guest(
                name="debian",
                hypervisor="vmware" if uefi else "xen",
                memory=2 * GIB,
                cpu=Cpu(count=2),
                disks=(SourceDisk(index=1, size=size),),
                secure_boot=uefi,
            ),
            inspection=Inspection(
                root="/dev/sda1",
                os_type="linux",
                distro="debian",
                arch="x86_64",
                major_version=12,
                product_name="Debian GNU/Linux 12 (bookworm)",
                osinfo="debian12",
            ),
            capabilities=Capabilities(
                machine="q35" if uefi else "i440fx", virtio_rng=True, virtio_balloon=True, block_bus=Bus.VIRTIO_BLK
            ),
            firmware=firmware,
            disks=(TargetDisk(index=1, bus=Bus.VIRTIO_BLK, device="vda", boot_order=1, size=size),),
            nics=(Nic(network="ovirtmgmt", mac="52:54:00:12:34:56"),),
        ),
        (place(1, size, actual_size=None if uefi else GIB - 1),),
    )


def windows() -> Example:
    """Return a Windows guest with three NICs and two disks. It boots from the second disk."""
    sizes = {1: 10 * GIB, 2: 40 * GIB}
    return Example(
        TargetGuest(
            source=Guest(
                name="Büro & <Server>",
                hypervisor="hyperv",
                memory=4 * GIB,
                cpu=Cpu(count=8, model="Skylake-Server", topology=Topology(sockets=2, cores=2, threads=2)),
                disks=tuple(SourceDisk(index=index, size=size) for index, size in sizes.items()),
                sound="ac97",
                display=Display(kind="vnc", password="hidden"),
                removables=(Removable(kind="cdrom"),),
            ),
            inspection=Inspection(
                root="/dev/sdb2",
                os_type="windows",
                distro="windows",
                arch="x86_64",
                major_version=10,
                minor_version=0,
                product_name="Windows Server 2019 Standard",
                product_variant="Server",
                osinfo="win2k19",
            ),
            capabilities=Capabilities(
                machine="q35", block_bus=Bus.VIRTIO_SCSI, net_model="e1000", virtio_balloon=True, rtc_utc=False
            ),
            firmware=Firmware.UEFI,
            disks=(
                TargetDisk(index=1, bus=Bus.VIRTIO_SCSI, device="sda", boot_order=2, size=sizes[1]),
                TargetDisk(index=2, bus=Bus.VIRTIO_SCSI, device="sdb", boot_order=1, size=sizes[2]),
            ),
            removables=(TargetRemovable(kind="cdrom", bus=Bus.SATA, device="sdc"),),
            nics=(
                Nic(network="ovirtmgmt", mac="52:54:00:00:00:01"),
                Nic(network="dmz", mac="52:54:00:00:00:02"),
                Nic(network="ovirtmgmt", kind="bridge"),
            ),
        ),
        tuple(place(index, size, disk_format="qcow2", actual_size=index * GIB) for index, size in sizes.items()),
    )


EXAMPLES = {"linux-bios": linux(Firmware.BIOS), "linux-uefi": linux(Firmware.UEFI), "windows": windows()}


NO_UUID = "00000000-0000-0000-0000-000000000000"
TIME = "2026/03/04 05:06:07"
GENERATOR = f"generated by v2v-output-rhv {version('v2v-output-rhv')}"
BOTH = pytest.mark.parametrize("flavour", list(Flavour))


class Ovf:
    """A parsed OVF, whose parts are found by oVirt's names."""

    def __init__(self, written: bytes, flavour: Flavour) -> None:
        self.root = etree.fromstring(written, etree.XMLParser(resolve_entities=False, no_network=True))
        self.flavour = flavour
        system = {Flavour.OVIRT: "VirtualSystem", Flavour.EXPORT_DOMAIN: "Content"}[flavour]
        self.system = self.one(self.root, system)
        self.networks = self.section(self.root, "NetworkSection")
        self.disks = self.section(self.root, "DiskSection")
        self.os = self.section(self.system, "OperatingSystemSection")
        self.hardware = self.section(self.system, "VirtualHardwareSection")

    def one(self, parent: Any, path: str) -> Any:
        """Return the only element with a path."""
        (element,) = parent.findall(path, NAMESPACES)
        return element

    def section(self, parent: Any, name: str) -> Any:
        """Return a section, which each flavour marks in its own way."""
        if self.flavour is Flavour.OVIRT:
            return self.one(parent, name)
        sections = [s for s in parent.findall("Section") if s.get(q("xsi:type")) == f"ovf:{name}_Type"]
        (section,) = sections
        return section

    def items(self, resource: str, **children: str) -> list[dict[str, str | None]]:
        """Return the items of a resource type, and with these children, as dictionaries in order."""
        items = []
        for item in self.hardware.findall("Item"):
            values = {unqualified(child.tag): child.text for child in item.iter() if child is not item}
            if values["rasd:ResourceType"] == resource and children.items() <= values.items():
                items.append(values)
        return items

    def value(self, name: str) -> str | None:
        """Return the text of a property of the machine, or None if there is no such element."""
        element = self.system.find(name)
        return None if element is None else element.text or ""


def q(name: str) -> str:
    """Return lxml's form of a name with a prefix."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def unqualified(tag: str) -> str:
    """Return a name in lxml's form with the usual prefix of its namespace."""
    name = etree.QName(tag)
    prefix = next((prefix for prefix, uri in NAMESPACES.items() if uri == name.namespace), None)
    return f"{prefix}:{name.localname}" if prefix else name.localname


def attributes(element: Any) -> dict[str, str]:
    """Return the attributes of an element."""
    return {unqualified(name): value for name, value in element.attrib.items()}


def read(example: Example, flavour: Flavour, warnings: list[str] | None = None, name: str | None = None) -> Ovf:
    """Make the OVF of an example and parse it."""
    return Ovf(example.ovf(flavour, ([] if warnings is None else warnings).append, name), flavour)


def file_of(disk: OvfDisk, flavour: Flavour) -> str:
    """Return the name of the file of a disk in a flavour."""
    return disk.volume_id if flavour is Flavour.OVIRT else f"{disk.image_id}/{disk.volume_id}"


def with_target(example: Example, **changes: Any) -> Example:
    """Return an example with another target."""
    return Example(replace(example.target, **changes), example.disks)


def with_source(example: Example, **changes: Any) -> Example:
    """Return an example with another source."""
    return with_target(example, source=replace(example.target.source, **changes))
