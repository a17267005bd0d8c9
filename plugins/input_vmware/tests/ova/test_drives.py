# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks, controllers and removable drives of OVF descriptors, as different programs write them."""

from __future__ import annotations

import pytest

from v2v_core.api import Bus, Guest, Removable, SourceError
from v2v_input_vmware.ova.ovf import Descriptor, parse_ovf

_DISK = """
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceType>6</rasd:ResourceType></Item>
<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d1</rasd:HostResource>
 <rasd:InstanceID>7</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
"""


def ovf(
    items: str = "",
    *,
    name: str = "<Name>guest</Name>",
    extra: str = "",
    files: str = '<File ovf:href="disk1.vmdk" ovf:id="f1" ovf:size="5"/>',
    disks: str = '<Disk ovf:capacity="10" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="d1" ovf:fileRef="f1"/>',
    sections: str = "",
    disk: str = _DISK,
) -> bytes:
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
 xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
 xmlns:vmw="http://www.vmware.com/schema/ovf">
 <References>{files}</References><DiskSection>{disks}</DiskSection>{sections}
 <VirtualSystem ovf:id="vm">{name}
  <VirtualHardwareSection>{items}{disk}{extra}</VirtualHardwareSection>
 </VirtualSystem></Envelope>""".encode()


def item(kind: int, **values: str) -> str:
    texts = "".join(f"<rasd:{key}>{value}</rasd:{key}>" for key, value in values.items())
    return f"<Item>{texts}<rasd:ResourceType>{kind}</rasd:ResourceType></Item>"


def read(data: bytes) -> tuple[Descriptor, list[str]]:
    warnings: list[str] = []
    return parse_ovf(data, "from-file", warnings.append), warnings


def guest(data: bytes) -> Guest:
    found, warnings = read(data)
    assert warnings == []
    return found.guest


def attached(address: int | None, disk: str, parent: str = "9", **more: str) -> str:
    place = {} if address is None else {"AddressOnParent": str(address)}
    return item(17, InstanceID=f"1{disk}", Parent=parent, HostResource=f"ovf:/disk/{disk}", **place, **more)


def files_and_disks(count: int) -> dict[str, str]:
    return {
        "files": "".join(f'<File ovf:href="{n}.vmdk" ovf:id="f{n}"/>' for n in range(count)),
        "disks": "".join(f'<Disk ovf:diskId="d{n}" ovf:fileRef="f{n}"/>' for n in range(count)),
    }


@pytest.mark.parametrize(("kind", "bus"), [(5, Bus.IDE), (6, Bus.SCSI), (20, Bus.SATA)])
def test_controllers(kind: int, bus: Bus) -> None:
    disk = item(kind, InstanceID="9") + item(17, InstanceID="10", Parent="9", HostResource="/disk/d1")
    assert guest(ovf(disk=disk)).disks[0].bus is bus


@pytest.mark.parametrize("parent", [{}, {"Parent": "99"}, {"Parent": "8"}])
def test_unknown_controllers_are_told(parent: dict[str, str]) -> None:
    disk = item(27, InstanceID="8") + item(17, InstanceID="10", HostResource="ovf:/disk/d1", **parent)
    found, warnings = read(ovf(disk=disk))
    assert found.guest.disks[0].bus is None
    assert len(warnings) == 1


def test_removables() -> None:
    drives = (
        item(5, InstanceID="1")
        + item(15, Parent="1", AddressOnParent="1")
        + item(16, Parent="3", AddressOnParent="0")
        + item(14, AddressOnParent="0")
        + item(14, Parent="1", AddressOnParent="1")
        + item(14, Parent="99")
    )
    assert guest(ovf(drives)).removables == (
        Removable(kind="cdrom", bus=Bus.IDE, slot=1),
        Removable(kind="cdrom", bus=Bus.SCSI, slot=0),
        Removable(kind="floppy", slot=0),
        Removable(kind="floppy", bus=Bus.IDE, slot=1),
        Removable(kind="floppy"),
    )


@pytest.mark.parametrize(
    ("kind", "words", "bus"),
    [
        (20, {"ResourceSubType": "vmware.nvme.controller"}, Bus.NVME),
        (20, {"ResourceSubType": "NVMe"}, Bus.NVME),
        (20, {"ElementName": "NVMe Controller 0"}, Bus.NVME),
        (20, {"ResourceSubType": "vmware.sata.ahci", "ElementName": "SATA"}, Bus.SATA),
        (20, {"ResourceSubType": "AHCI"}, Bus.SATA),
        (20, {}, Bus.SATA),
        (1, {"ResourceSubType": "vmware.nvme.controller"}, Bus.NVME),
        (1, {"ResourceSubType": "AHCI"}, Bus.SATA),
        (6, {"ResourceSubType": "VirtualSCSI"}, Bus.SCSI),
        (6, {"ResourceSubType": "lsilogicsas", "ElementName": "nvme?"}, Bus.SCSI),
        (5, {"ResourceSubType": "PIIX4"}, Bus.IDE),
    ],
)
def test_subtypes_of_controllers(kind: int, words: dict[str, str], bus: Bus) -> None:
    """kubev2v/forklift#4051, vmware/open-vmdk#46: ResourceType 20 is used for SATA and for NVMe."""
    disk = item(kind, InstanceID="9", **words) + attached(0, "d1")
    assert guest(ovf(disk=disk)).disks[0].bus is bus


def test_disks_of_one_controller_are_in_the_order_of_their_addresses() -> None:
    """The kernel of the guest names them in that order; the descriptor may list them in another one."""
    drives = (
        item(6, InstanceID="8")
        + item(20, InstanceID="9", ResourceSubType="vmware.nvme.controller")
        + attached(1, "d0")
        + attached(2, "d1", "8")
        + attached(0, "d2")
        + attached(1, "d3", "8")
    )
    found = guest(ovf(disk=drives, **files_and_disks(4)))
    assert [(disk.origin, disk.bus) for disk in found.disks] == [
        ("2.vmdk", Bus.NVME),
        ("0.vmdk", Bus.NVME),
        ("3.vmdk", Bus.SCSI),
        ("1.vmdk", Bus.SCSI),
    ]
    without = ovf(disk=item(6, InstanceID="9") + attached(None, "d1") + attached(None, "d0"), **files_and_disks(2))
    assert [disk.origin for disk in guest(without).disks] == ["1.vmdk", "0.vmdk"]


@pytest.mark.parametrize(
    ("unit", "capacity", "size"), [("byte * 2^30", "2", 2 << 30), ("MegaBytes", "5", 5 << 20), ("byte", "1000", 1024)]
)
def test_a_disk_without_a_file_is_empty(unit: str, capacity: str, size: int) -> None:
    """vmware/open-vmdk#24: data disks are often exported without a file."""
    disks = (
        f'<Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="{unit}" ovf:diskId="d1"/>'
        '<Disk ovf:capacity="1" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d2" ovf:fileRef="f1"/>'
    )
    found, warnings = read(ovf(disks=disks, disk=item(6, InstanceID="9") + attached(0, "d2") + attached(1, "d1")))
    assert [(disk.href, disk.capacity) for disk in found.disks] == [("disk1.vmdk", 1 << 30), (None, size)]
    assert [disk.origin for disk in found.guest.disks] == ["disk1.vmdk", "empty disk 'd1'"]
    assert warnings == []


def test_an_item_without_a_resource_is_an_empty_disk() -> None:
    more = item(17, Parent="3", AddressOnParent="1", VirtualQuantity="4", AllocationUnits="byte * 2^20", Caption="data")
    found, _ = read(ovf(disk=_DISK + more))
    assert [(disk.href, disk.capacity) for disk in found.disks] == [("disk1.vmdk", 10 << 20), (None, 4 << 20)]


@pytest.mark.parametrize(
    "resource",
    ["ovf:/disk/d1", "/disk/d1", "ovf:disk/d1", "ovf://disk/d1", "OVF:/disk/d1", "disk/d1", "ovf:/file/f1", "/file/f1"],
)
def test_forms_of_host_resources(resource: str) -> None:
    """libguestfs/virt-v2v#192: OLVM writes ``ovf:disk/``. DSP0243 also allows to name the file itself."""
    disk = item(6, InstanceID="3") + item(17, Parent="3", HostResource=resource)
    found, _ = read(ovf(disk=disk))
    assert [each.href for each in found.disks] == ["disk1.vmdk"]


def test_a_disk_of_another_resource_type_is_a_disk() -> None:
    """CIM also has 31, a logical disk."""
    drive = item(6, InstanceID="9") + item(31, Parent="9", HostResource="ovf:/disk/d1")
    assert [disk.origin for disk in guest(ovf(disk=drive)).disks] == ["disk1.vmdk"]


def test_the_image_of_a_cdrom_is_not_a_disk() -> None:
    """VirtualBox lists it in the DiskSection."""
    cdrom = item(5, InstanceID="9") + item(15, Parent="9", AddressOnParent="0", HostResource="/disk/d1")
    data = ovf(disk=cdrom + item(6, InstanceID="8") + attached(0, "d0", "8"), **files_and_disks(2))
    found = guest(data)
    assert [disk.origin for disk in found.disks] == ["0.vmdk"]
    assert len(found.removables) == 1


def test_a_disk_that_is_not_attached_is_reported() -> None:
    data = ovf(disk=item(6, InstanceID="9") + attached(0, "d1"), **files_and_disks(2))
    found, warnings = read(data)
    assert [disk.href for disk in found.disks] == ["1.vmdk"]
    assert warnings == ["the disk 'd0' in the OVF descriptor is not attached to the virtual machine: it is left out"]


@pytest.mark.parametrize(
    ("disks", "why"),
    [
        ('<Disk ovf:diskId="d1"/>', "neither a file nor a capacity"),
        ('<Disk ovf:diskId="d1" ovf:capacity="${size}"/>', "neither a file nor a capacity"),
        ('<Disk ovf:diskId="d1" ovf:capacity="9" ovf:capacityAllocationUnits="byte * 2^60"/>', "too much"),
        ('<Disk ovf:diskId="d1" ovf:fileRef="f1" ovf:parentRef="d0" ovf:capacity="9"/>', "differences"),
        ('<Disk ovf:diskId="d1" ovf:fileRef="f2" ovf:capacity="9"/>', "does not describe it"),
    ],
)
def test_disks_that_cannot_be_read(disks: str, why: str) -> None:
    with pytest.raises(SourceError, match=why) as caught:
        read(ovf(disks=disks))
    assert caught.value.hint


def test_a_deployment_configuration_chooses_among_disks() -> None:
    """vatesfr/xen-orchestra#7046: an appliance describes six disks, of which each configuration has two or three."""
    configurations = (
        '<DeploymentOptionSection><Configuration ovf:id="tiny"/><Configuration ovf:default="true" ovf:id="normal"/>'
        "</DeploymentOptionSection>"
    )
    controller = item(6, InstanceID="9")
    items = attached(0, "d0") + "".join(
        attached(address, f"d{number}").replace("<Item>", f'<Item ovf:configuration="{configuration}">')
        for number, address, configuration in ((1, 1, "tiny"), (2, 1, "normal"), (3, 2, "tiny"), (4, 2, "tiny normal"))
    )
    found, warnings = read(ovf(controller, disk="", extra=items, sections=configurations, **files_and_disks(5)))
    assert [disk.href for disk in found.disks] == ["0.vmdk", "2.vmdk", "4.vmdk"]
    # those of the other configuration are left out on purpose, and named
    assert [name in text for name, text in zip(("d1", "d3"), warnings, strict=True)] == [True, True]


def test_compression() -> None:
    (disk,) = read(ovf(files='<File ovf:href="d.gz" ovf:id="f1" ovf:compression="gzip"/>'))[0].disks
    assert (disk.gzip, disk.size) == (True, None)
    assert not read(ovf(files='<File ovf:href="d" ovf:id="f1" ovf:compression="identity"/>'))[0].disks[0].gzip
