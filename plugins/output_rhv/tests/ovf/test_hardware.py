# SPDX-License-Identifier: GPL-2.0-or-later
"""The hardware of the OVF: each item with each of its elements, in both flavours."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from ovf_examples import BOTH, EXAMPLES, NO_UUID, STORAGE_ID, TIME, file_of, read, with_source, with_target
from v2v_core.api import Capabilities, Cpu, Topology
from v2v_output_rhv.ovf import Flavour
from v2v_output_rhv.ovf.tree import NAMESPACES


@BOTH
class TestHardware:
    def test_summary(self, flavour: Flavour) -> None:
        assert read(EXAMPLES["windows"], flavour).hardware.findtext("Info") == "8 CPU, 4096 Memory"

    def test_cpu_with_a_topology(self, flavour: Flavour) -> None:
        assert read(EXAMPLES["windows"], flavour).items("3") == [
            {
                "rasd:Caption": "8 virtual cpu",
                "rasd:Description": "Number of virtual CPU",
                "rasd:InstanceId": "1",
                "rasd:ResourceType": "3",
                "rasd:num_of_sockets": "2",
                "rasd:cpu_per_socket": "2",
                "rasd:threads_per_cpu": "2",
            }
        ]

    def test_cpu_without_one(self, flavour: Flavour) -> None:
        (cpu,) = read(EXAMPLES["linux-bios"], flavour).items("3")
        assert (cpu["rasd:num_of_sockets"], cpu["rasd:cpu_per_socket"]) == ("1", "2")
        assert "rasd:threads_per_cpu" not in cpu

    def test_a_topology_with_another_number_of_cpus_is_left_out(self, flavour: Flavour) -> None:
        cpu = Cpu(count=3, topology=Topology(sockets=1, cores=2, threads=1))
        warnings: list[str] = []
        (item,) = read(with_source(EXAMPLES["linux-bios"], cpu=cpu), flavour, warnings).items("3")
        assert (item["rasd:num_of_sockets"], item["rasd:cpu_per_socket"]) == ("1", "3")
        assert "does not give 3 CPUs" in warnings[0]

    def test_memory(self, flavour: Flavour) -> None:
        assert read(EXAMPLES["linux-bios"], flavour).items("4") == [
            {
                "rasd:Caption": "2048 MB of memory",
                "rasd:Description": "Memory Size",
                "rasd:InstanceId": "2",
                "rasd:ResourceType": "4",
                "rasd:AllocationUnits": "MegaBytes",
                "rasd:VirtualQuantity": "2048",
            }
        ]

    def test_usb_controller(self, flavour: Flavour) -> None:
        assert read(EXAMPLES["linux-bios"], flavour).items("23") == [
            {
                "rasd:Caption": "USB Controller",
                "rasd:InstanceId": "3",
                "rasd:ResourceType": "23",
                "rasd:UsbPolicy": "Disabled",
            }
        ]

    def test_video(self, flavour: Flavour) -> None:
        number = {Flavour.OVIRT: "32768", Flavour.EXPORT_DOMAIN: "20"}[flavour]
        (video,) = read(EXAMPLES["linux-bios"], flavour).items(number)
        uuid.UUID(video.pop("rasd:InstanceId"))
        assert video == {
            "rasd:Caption": "Graphical Controller",
            "rasd:ResourceType": number,
            "Type": "video",
            "rasd:VirtualQuantity": "1",
            "Device": "vga",
        }

    def test_random_numbers(self, flavour: Flavour) -> None:
        (rng,) = read(EXAMPLES["linux-bios"], flavour).items("0", Type="rng")
        uuid.UUID(rng.pop("rasd:InstanceId"))
        assert rng == {
            "rasd:Caption": "RNG Device",
            "rasd:ResourceType": "0",
            "Type": "rng",
            "Device": "virtio",
            "SpecParams": rng["SpecParams"],
            "source": "urandom",
        }
        assert read(EXAMPLES["windows"], flavour).items("0", Type="rng") == []

    def test_balloon(self, flavour: Flavour) -> None:
        (balloon,) = read(EXAMPLES["windows"], flavour).items("0", Type="balloon")
        uuid.UUID(balloon.pop("rasd:InstanceId"))
        assert balloon == {
            "rasd:Caption": "Memory Ballooning Device",
            "rasd:ResourceType": "0",
            "Type": "balloon",
            "Device": "memballoon",
            "SpecParams": balloon["SpecParams"],
            "model": "virtio",
        }
        without = with_target(EXAMPLES["windows"], capabilities=Capabilities())
        assert read(without, flavour).items("0", Type="balloon") == []

    def test_drives(self, flavour: Flavour) -> None:
        example = EXAMPLES["windows"]
        first, second = read(example, flavour).items("17")
        assert first == {
            "rasd:Caption": "Drive 1",
            "rasd:InstanceId": example.disks[0].volume_id,
            "rasd:ResourceType": "17",
            "Type": "disk",
            "rasd:HostResource": file_of(example.disks[0], flavour),
            "rasd:Parent": NO_UUID,
            "rasd:Template": NO_UUID,
            "rasd:ApplicationList": None,
            "rasd:StorageId": STORAGE_ID,
            "rasd:StoragePoolId": NO_UUID,
            "rasd:CreationDate": TIME,
            "rasd:LastModified": TIME,
            "rasd:last_modified_date": TIME,
        }
        assert second["rasd:Caption"] == "Drive 2"
        assert second["BootOrder"] == "1"

    def test_without_a_boot_order_it_is_the_first_disk_that_boots(self, flavour: Flavour) -> None:
        example = EXAMPLES["windows"]
        disks = tuple(replace(disk, boot_order=None) for disk in example.target.disks)
        first, second = read(with_target(example, disks=disks), flavour).items("17")
        assert first["BootOrder"] == "1"
        assert "BootOrder" not in second

    def test_nics(self, flavour: Flavour) -> None:
        nics = read(EXAMPLES["windows"], flavour).items("10")
        identifiers = {nic.pop("rasd:InstanceId") for nic in nics}
        assert len({uuid.UUID(str(identifier)) for identifier in identifiers}) == 3
        assert nics[0] == {
            "rasd:Caption": "Ethernet adapter on ovirtmgmt",
            "rasd:ResourceType": "10",
            "rasd:ResourceSubType": "2",
            "Type": "interface",
            "rasd:Connection": "ovirtmgmt",
            "rasd:Name": "eth0",
            "rasd:MACAddress": "52:54:00:00:00:01",
        }
        assert [nic["rasd:Name"] for nic in nics] == ["eth0", "eth1", "eth2"]
        assert "rasd:MACAddress" not in nics[2]

    @pytest.mark.parametrize(
        ("model", "number"), [("rtl8139", "1"), ("e1000", "2"), ("e1000e", "2"), ("virtio", "3"), ("ne2k", "1")]
    )
    def test_models_of_nics(self, flavour: Flavour, model: str, number: str) -> None:
        warnings: list[str] = []
        example = with_target(EXAMPLES["linux-bios"], capabilities=Capabilities(net_model=model))
        (nic,) = read(example, flavour, warnings).items("10")
        assert nic["rasd:ResourceSubType"] == number
        assert bool(warnings) is (model == "ne2k")

    @pytest.mark.parametrize(("sound", "device"), [("ac97", "ac97"), ("ich6", "ich6"), ("sb16", None), (None, None)])
    def test_sound(self, flavour: Flavour, sound: str | None, device: str | None) -> None:
        warnings: list[str] = []
        found = read(with_source(EXAMPLES["linux-bios"], sound=sound), flavour, warnings).items("0", Type="sound")
        if device is None:
            assert found == []
            assert warnings == ([f"the sound device {sound!r} is left out: oVirt does not have it"] if sound else [])
            return
        (item,) = found
        uuid.UUID(item.pop("rasd:InstanceId"))
        assert item == {"rasd:ResourceType": "0", "Type": "sound", "Device": device}
        assert warnings == []

    def test_items_come_in_order(self, flavour: Flavour) -> None:
        hardware = read(with_source(EXAMPLES["linux-bios"], sound="ich6"), flavour).hardware
        found = [item.findtext("rasd:ResourceType", namespaces=NAMESPACES) for item in hardware.findall("Item")]
        video = {Flavour.OVIRT: "32768", Flavour.EXPORT_DOMAIN: "20"}[flavour]
        assert found == ["3", "4", "23", video, "0", "0", "17", "10", "0"]

    def test_removable_drives_are_left_out(self, flavour: Flavour) -> None:
        assert EXAMPLES["windows"].target.removables
        assert b"cdrom" not in EXAMPLES["windows"].ovf(flavour).lower()

    def test_the_password_of_a_display_causes_a_warning_without_it(self, flavour: Flavour) -> None:
        warnings: list[str] = []
        written = EXAMPLES["windows"].ovf(flavour, warnings.append)
        assert len(warnings) == 1
        assert "password" in warnings[0]
        assert "hidden" not in warnings[0]
        assert b"hidden" not in written
