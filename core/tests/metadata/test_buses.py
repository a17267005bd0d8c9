# SPDX-License-Identifier: GPL-2.0-or-later
"""Where disks and drives are attached at the target."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.drive_names import drive_letters
from v2v_core.errors import ConversionError
from v2v_core.metadata import assign_buses, fit_profile
from v2v_core.metadata.buses import device_slot
from v2v_core.model import Bus, Capabilities, Firmware, Guest, Removable, SourceDisk, TargetProfile


def guest(disks: int, *removables: Removable) -> Guest:
    return Guest(name="x", disks=tuple(SourceDisk(index=i, size=i) for i in range(1, disks + 1)), removables=removables)


def cdrom(slot: int | None = None, bus: Bus | None = Bus.IDE) -> Removable:
    return Removable(kind="cdrom", bus=bus, slot=slot)


@pytest.mark.parametrize(
    ("bus", "machine", "expected", "devices"),
    [
        (Bus.VIRTIO_BLK, "q35", Bus.VIRTIO_BLK, ["vda", "vdb"]),
        (Bus.VIRTIO_SCSI, "q35", Bus.VIRTIO_SCSI, ["sda", "sdb"]),
        (Bus.IDE, "i440fx", Bus.IDE, ["hda", "hdb"]),
        (Bus.IDE, "q35", Bus.SATA, ["sda", "sdb"]),
        (Bus.IDE, "virt", Bus.VIRTIO_SCSI, ["sda", "sdb"]),
    ],
)
def test_disks_are_on_the_bus_that_the_guest_has_a_driver_for(
    bus: Bus, machine: str, expected: Bus, devices: list[str]
) -> None:
    disks, _, warnings = assign_buses(guest(2), Capabilities(block_bus=bus, machine=machine))
    assert [(disk.bus, disk.device, disk.size) for disk in disks] == [
        (expected, d, i) for i, d in enumerate(devices, 1)
    ]
    assert not warnings


@pytest.mark.parametrize(("boot", "order"), [(None, [1, 2, 3]), (1, [1, 2, 3]), (3, [2, 3, 1]), (2, [2, 1, 3])])
def test_the_disk_that_boots_is_first_and_the_others_follow(boot: int | None, order: list[int]) -> None:
    disks, _, warnings = assign_buses(guest(3), Capabilities(), boot_disk=boot)
    assert [disk.boot_order for disk in disks] == order
    assert not warnings


@pytest.mark.parametrize(("boot", "order"), [(None, [3, 2, 1]), (1, [1, 3, 2]), (2, [3, 1, 2]), (9, [3, 2, 1])])
def test_the_boot_order_of_the_source_is_kept(boot: int | None, order: list[int]) -> None:
    source = Guest(
        name="x",
        disks=(SourceDisk(index=1), SourceDisk(index=2, boot_order=7), SourceDisk(index=3, boot_order=2)),
    )
    assert source.boot_sequence == (3, 2, 1)
    disks, _, _ = assign_buses(source, Capabilities(), boot_disk=boot)
    assert [disk.boot_order for disk in disks] == order


def test_a_boot_disk_that_does_not_exist_is_a_warning() -> None:
    disks, _, warnings = assign_buses(guest(2), Capabilities(), boot_disk=9)
    assert [disk.boot_order for disk in disks] == [1, 2]
    assert len(warnings) == 1


def test_more_than_26_disks() -> None:
    disks, _, _ = assign_buses(guest(30), Capabilities())
    assert [disks[25].device, disks[26].device, disks[29].device] == ["vdz", "vdaa", "vdad"]


def test_drives_keep_their_slots_and_drives_without_one_get_what_is_free() -> None:
    _, drives, warnings = assign_buses(guest(1, cdrom(None), cdrom(0)), Capabilities())
    assert [(drive.bus, drive.device) for drive in drives] == [(Bus.SATA, "sdb"), (Bus.SATA, "sda")]
    assert not warnings


def test_a_slot_that_is_taken_on_the_same_bus_is_a_warning() -> None:
    ide = Capabilities(block_bus=Bus.IDE, machine="i440fx")
    _, drives, warnings = assign_buses(guest(2, cdrom(1)), ide)
    assert drives[0].device == "hdc"
    assert len(warnings) == 1
    _, drives, warnings = assign_buses(guest(1, cdrom(0)), Capabilities(block_bus=Bus.VIRTIO_SCSI))
    assert (drives[0].bus, drives[0].device) == (Bus.SATA, "sdb")
    assert not warnings


def test_ide_has_room_for_four() -> None:
    disks, drives, warnings = assign_buses(guest(5, cdrom()), Capabilities(block_bus=Bus.IDE, machine="i440fx"))
    assert (disks[4].bus, disks[4].device) == (Bus.SATA, "sda")
    assert drives == ()
    assert len(warnings) == 2


@pytest.mark.parametrize(
    ("bus", "machine", "expected"),
    [
        (None, "i440fx", Bus.IDE),
        (Bus.IDE, "q35", Bus.SATA),
        (Bus.SATA, "q35", Bus.SATA),
        (Bus.SCSI, "q35", Bus.SCSI),
        (Bus.VIRTIO_BLK, "q35", Bus.SATA),
        (Bus.IDE, "virt", Bus.VIRTIO_SCSI),
    ],
)
def test_a_cdrom_is_attached_to_a_bus_of_the_machine(bus: Bus | None, machine: str, expected: Bus) -> None:
    _, drives, _ = assign_buses(guest(1, cdrom(None, bus)), Capabilities(machine=machine))
    assert drives[0].bus is expected


def test_a_third_floppy_is_left_out() -> None:
    floppies = [Removable(kind="floppy", slot=slot) for slot in (1, None, None)]
    _, drives, warnings = assign_buses(guest(1, *floppies), Capabilities())
    assert [drive.device for drive in drives] == ["fdb", "fda"]
    assert len(warnings) == 1


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.sampled_from(["cdrom", "floppy"]), st.sampled_from([*Bus, None]), st.integers(-5, 10**9))),
    st.sampled_from([Bus.IDE, Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI]),
    st.sampled_from(["i440fx", "q35", "virt", "other"]),
)
def test_device_names_are_unique(count: int, wishes: list[tuple[str, Bus | None, int]], bus: Bus, machine: str) -> None:
    removables = [Removable(kind=kind, bus=at, slot=slot if slot >= 0 else None) for kind, at, slot in wishes]
    disks, drives, _ = assign_buses(guest(count, *removables), Capabilities(block_bus=bus, machine=machine))
    devices = [disk.device for disk in disks] + [drive.device for drive in drives]
    assert len(disks) == count
    assert len(set(devices)) == len(devices)
    assert sorted(disk.boot_order or 0 for disk in disks) == list(range(1, count + 1))


@given(st.integers(0, 10**6), st.sampled_from(["sd", "vd", "hd", "fd", "xvd"]))
def test_the_slot_of_a_device_name(slot: int, prefix: str) -> None:
    assert device_slot(prefix + drive_letters(slot)) == slot


@pytest.mark.parametrize(("device", "slot"), [("sr3", 3), ("sda1", None), ("", None), ("sd", None), ("nvme0n1", None)])
def test_other_device_names(device: str, slot: int | None) -> None:
    assert device_slot(device) == slot


class TestProfile:
    """What a target can give decides, where it is not what the guest asks for."""

    def test_a_target_that_has_everything_changes_nothing(self) -> None:
        for machine in ("q35", "i440fx", "virt", "pseries"):
            asked = Capabilities(machine=machine, block_bus=Bus.VIRTIO_SCSI)
            assert fit_profile(asked, Firmware.UEFI, TargetProfile()) == (asked, ())

    def test_a_bus_that_the_target_lacks_becomes_one_that_every_guest_drives(self) -> None:
        profile = TargetProfile(buses=(Bus.SATA, Bus.IDE))
        capabilities, warnings = fit_profile(Capabilities(machine="q35"), Firmware.BIOS, profile)
        assert capabilities.block_bus is Bus.SATA
        assert warnings == ("the disks are attached to sata: the target has no virtio-blk",)
        disks, _drives, _warnings = assign_buses(guest(2), capabilities, profile=profile)
        assert [(disk.bus, disk.device) for disk in disks] == [(Bus.SATA, "sda"), (Bus.SATA, "sdb")]

    def test_a_machine_that_the_target_lacks_becomes_its_first_one(self) -> None:
        profile = TargetProfile(machines=("q35",))
        asked = Capabilities(machine="i440fx", block_bus=Bus.IDE)
        capabilities, warnings = fit_profile(asked, Firmware.BIOS, profile)
        assert (capabilities.machine, capabilities.block_bus) == ("q35", Bus.SATA), "a q35 has no IDE"
        assert warnings == ("the guest gets the machine type q35: the target has no i440fx",)

    def test_a_guest_whose_disks_fit_nowhere_is_refused(self) -> None:
        profile = TargetProfile(buses=(Bus.VIRTIO_SCSI,))
        with pytest.raises(
            ConversionError, match="a driver for disks on virtio-blk, and the target offers virtio-scsi"
        ):
            fit_profile(Capabilities(), Firmware.BIOS, profile)

    def test_a_firmware_that_the_target_lacks_is_refused(self) -> None:
        profile = TargetProfile(firmware=(Firmware.BIOS,))
        with pytest.raises(ConversionError, match="boots with UEFI, which guests cannot have at this target"):
            fit_profile(Capabilities(), Firmware.UEFI, profile)
        assert fit_profile(Capabilities(), Firmware.UNKNOWN, profile)[1] == ()
