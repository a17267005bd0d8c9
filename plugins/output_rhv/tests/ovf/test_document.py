# SPDX-License-Identifier: GPL-2.0-or-later
"""The OVF: each element and attribute that oVirt's reader looks for, in both flavours, except the hardware.

As a program, with the directory above in ``PYTHONPATH``, it writes the golden files anew.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta, timezone
from importlib.metadata import version
from typing import Any

import pytest
from lxml import etree

from ovf_examples import (
    BOTH,
    CREATED,
    EXAMPLES,
    GENERATOR,
    GIB,
    GOLDEN,
    NO_UUID,
    STORAGE_ID,
    TIME,
    VM_ID,
    Example,
    Ovf,
    attributes,
    file_of,
    linux,
    q,
    read,
    with_source,
    with_target,
)
from v2v_core.api import Bus, DestinationError, Firmware, TargetDisk
from v2v_output_rhv.ovf import Flavour, build_ovf
from v2v_output_rhv.ovf.tree import NAMESPACES


@BOTH
@pytest.mark.parametrize("name", EXAMPLES)
def test_golden_files(name: str, flavour: Flavour) -> None:
    golden = (GOLDEN / f"{name}.{flavour}.ovf").read_bytes()
    assert EXAMPLES[name].ovf(flavour) == golden.replace(b"@VERSION@", version("v2v-output-rhv").encode())


@BOTH
class TestEnvelope:
    def test_root(self, flavour: Flavour) -> None:
        root = read(EXAMPLES["linux-bios"], flavour).root
        assert root.tag == q("ovf:Envelope")
        assert attributes(root) == {"ovf:version": "0.9"}
        assert root.nsmap == {
            "rasd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData",
            "vssd": "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData",
            "xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "ovf": "http://schemas.dmtf.org/ovf/envelope/1/",
            "ovirt": "http://www.ovirt.org/ovf",
        }

    def test_sections_come_in_order(self, flavour: Flavour) -> None:
        root = read(EXAMPLES["windows"], flavour).root
        first, *others = list(root)
        assert isinstance(first, etree._Comment)
        assert GENERATOR in str(first.text)
        tags = [element.tag for element in others]
        if flavour is Flavour.OVIRT:
            assert tags == ["References", "NetworkSection", "DiskSection", "VirtualSystem"]
        else:
            assert tags == ["References", "Section", "Section", "Content"]
            assert [element.get(q("xsi:type")) for element in others] == [
                None,
                "ovf:NetworkSection_Type",
                "ovf:DiskSection_Type",
                "ovf:VirtualSystem_Type",
            ]

    def test_machine(self, flavour: Flavour) -> None:
        ovf = read(EXAMPLES["windows"], flavour)
        in_export_domain = {"ovf:id": "out", "xsi:type": "ovf:VirtualSystem_Type"}
        assert attributes(ovf.system) == ({"ovf:id": VM_ID} if flavour is Flavour.OVIRT else in_export_domain)
        if flavour is Flavour.OVIRT:
            assert not ovf.root.xpath("//*[@xsi:type]", namespaces=NAMESPACES)
            assert not ovf.root.findall(".//Section")

    def test_files(self, flavour: Flavour) -> None:
        example = EXAMPLES["windows"]
        ovf = read(example, flavour)
        files = [attributes(file) for file in ovf.one(ovf.root, "References")]
        assert files == [
            {
                "ovf:href": file_of(disk, flavour),
                "ovf:id": disk.volume_id,
                "ovf:description": GENERATOR,
                "ovf:size": str(disk.actual_size),
            }
            for disk in example.disks
        ]

    def test_a_file_has_a_size_only_where_it_is_known(self, flavour: Flavour) -> None:
        ovf = read(EXAMPLES["linux-uefi"], flavour)
        assert "ovf:size" not in attributes(ovf.one(ovf.root, "References/File"))
        assert "ovf:actual_size" not in attributes(ovf.one(ovf.disks, "Disk"))

    def test_networks(self, flavour: Flavour) -> None:
        networks = read(EXAMPLES["windows"], flavour).networks
        assert networks.findtext("Info") == "List of networks"
        found = [attributes(network) for network in networks.findall("Network")]
        assert found == [{"ovf:name": "ovirtmgmt"}, {"ovf:name": "dmz"}, {"ovf:name": "ovirtmgmt"}]

    def test_disks(self, flavour: Flavour) -> None:
        example = EXAMPLES["windows"]
        disks = read(example, flavour).disks
        assert disks.findtext("Info") == "List of Virtual Disks"
        first, second = (attributes(disk) for disk in disks.findall("Disk"))
        uuid.UUID(first.pop("ovf:vm_snapshot_id"))
        assert first == {
            "ovf:diskId": "aaaaaaaa-0000-4000-8000-000000000001"
            if flavour is Flavour.OVIRT
            else "bbbbbbbb-0000-4000-8000-000000000001",
            "ovf:size": "10",
            "ovf:capacity": str(10 * GIB),
            "ovf:fileRef": file_of(example.disks[0], flavour),
            "ovf:parentRef": "",
            "ovf:volume-format": "COW",
            "ovf:volume-type": "Preallocated",
            "ovf:format": "http://en.wikipedia.org/wiki/Byte",
            "ovf:disk-interface": "VirtIO_SCSI",
            "ovf:disk-type": "System",
            "ovf:boot": "False",
            "ovf:actual_size": "1",
        }
        assert second["ovf:boot"] == "True"
        assert second["ovf:size"] == "40"
        assert second["ovf:actual_size"] == "2"

    def test_sizes_are_rounded_up_to_whole_gib(self, flavour: Flavour) -> None:
        ovf = read(EXAMPLES["linux-bios"], flavour)
        disk = attributes(ovf.one(ovf.disks, "Disk"))
        assert (disk["ovf:size"], disk["ovf:capacity"]) == ("7", str(6 * GIB + 512))
        assert disk["ovf:actual_size"] == "1"
        assert attributes(ovf.one(ovf.root, "References/File"))["ovf:size"] == str(GIB - 1)
        assert (disk["ovf:volume-format"], disk["ovf:volume-type"]) == ("RAW", "Sparse")

    @pytest.mark.parametrize(
        ("bus", "interface"),
        [
            (Bus.VIRTIO_BLK, "VirtIO"),
            (Bus.VIRTIO_SCSI, "VirtIO_SCSI"),
            (Bus.IDE, "IDE"),
            (Bus.SATA, "SATA"),
        ],
    )
    def test_interfaces(self, flavour: Flavour, bus: Bus, interface: str) -> None:
        ovf = read(with_target(EXAMPLES["linux-bios"], disks=(TargetDisk(index=1, bus=bus, device="xda"),)), flavour)
        assert attributes(ovf.one(ovf.disks, "Disk"))["ovf:disk-interface"] == interface


@BOTH
class TestProperties:
    def test_all(self, flavour: Flavour) -> None:
        ovf = read(EXAMPLES["windows"], flavour, name="other name")
        found = {child.tag: child.text or "" for child in ovf.system if not len(child)}
        assert found == {
            "Name": "other name",
            "TemplateId": NO_UUID,
            "TemplateName": "Blank",
            "Description": GENERATOR,
            "Domain": "",
            "CreationDate": TIME,
            "IsInitilized": "True",
            "IsAutoSuspend": "False",
            "TimeZone": "",
            "IsStateless": "False",
            "VmType": "1",
            "DefaultDisplayType": "2",
            "BiosType": "2",
            "CustomCpuName": "Skylake-Server",
            "Origin": "9",
        }

    def test_times_are_in_utc(self, flavour: Flavour) -> None:
        example = EXAMPLES["linux-bios"]
        written = build_ovf(
            example.target,
            name="x",
            vm_id=VM_ID,
            storage_domain_id=STORAGE_ID,
            disks=example.disks,
            flavour=flavour,
            created=CREATED.astimezone(timezone(timedelta(hours=5))),
            warn=lambda text: None,
        )
        assert Ovf(written, flavour).value("CreationDate") == TIME

    @pytest.mark.parametrize(
        ("arch", "machine", "firmware", "number"),
        [
            ("x86_64", "i440fx", Firmware.BIOS, "0"),
            ("x86_64", "pc", Firmware.BIOS, "0"),
            ("x86_64", "q35", Firmware.BIOS, "1"),
            ("i386", "q35", Firmware.BIOS, "1"),
            ("x86_64", "q35", Firmware.UEFI, "2"),
            # Only a q35 has UEFI in oVirt; without a number, the firmware would be the cluster's.
            ("x86_64", "i440fx", Firmware.UEFI, "2"),
            ("i386", "pc", Firmware.UEFI, "2"),
            ("x86_64", "i440fx", Firmware.UNKNOWN, None),
            ("x86_64", "virt", Firmware.BIOS, None),
            ("ppc64le", "pseries", Firmware.BIOS, "0"),
            ("aarch64", "virt", Firmware.UEFI, "0"),
        ],
    )
    def test_bios_type(self, flavour: Flavour, arch: str, machine: str, firmware: Firmware, number: str | None) -> None:
        example = linux(firmware)
        capabilities = replace(example.target.capabilities, arch=arch, machine=machine)
        assert read(with_target(example, capabilities=capabilities), flavour).value("BiosType") == number

    def test_secure_boot_is_not_asked_for(self, flavour: Flavour) -> None:
        assert EXAMPLES["linux-uefi"].target.source.secure_boot
        assert read(EXAMPLES["linux-uefi"], flavour).value("BiosType") == "2"

    @pytest.mark.parametrize(
        ("hypervisor", "number"),
        [("vmware", "1"), ("xen", "2"), ("kvm", "7"), ("qemu", "7"), ("physical", "8"), ("hyperv", "9")],
    )
    def test_origin(self, flavour: Flavour, hypervisor: str, number: str) -> None:
        example = with_source(EXAMPLES["linux-bios"], hypervisor=hypervisor)
        assert read(example, flavour).value("Origin") == number

    def test_what_is_not_known_is_left_out(self, flavour: Flavour) -> None:
        ovf = read(with_source(EXAMPLES["linux-bios"], hypervisor="bhyve"), flavour)
        assert ovf.value("Origin") is None
        assert ovf.value("CustomCpuName") is None

    def test_operating_system(self, flavour: Flavour) -> None:
        system = read(EXAMPLES["windows"], flavour).os
        expected = {"ovf:id": VM_ID, "ovf:required": "false"}
        if flavour is Flavour.OVIRT:
            expected["ovirt:id"] = "31"
        else:
            expected["xsi:type"] = "ovf:OperatingSystemSection_Type"
        assert attributes(system) == expected
        assert system.findtext("Info") == "Windows Server 2019 Standard"
        assert system.findtext("Description") == "windows_2019x64"


class TestErrors:
    @pytest.mark.parametrize("wrong", [{"format": "vmdk"}, {"allocation": "dense"}, {"index": 3}])
    def test_what_ovirt_does_not_know(self, wrong: dict[str, Any]) -> None:
        example = EXAMPLES["linux-bios"]
        with pytest.raises(DestinationError):
            Example(example.target, (replace(example.disks[0], **wrong),)).ovf(Flavour.OVIRT)


def write_golden_files() -> None:
    for name, example in EXAMPLES.items():
        for flavour in Flavour:
            written = example.ovf(flavour).replace(version("v2v-output-rhv").encode(), b"@VERSION@")
            (GOLDEN / f"{name}.{flavour}.ovf").write_bytes(written)


if __name__ == "__main__":
    write_golden_files()
