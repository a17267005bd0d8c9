# SPDX-License-Identifier: GPL-2.0-or-later
"""What the outputs declare about oVirt, and that the OVF can name all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ovf_examples import BOTH, EXAMPLES, read, with_target
from v2v_core import metadata
from v2v_core.api import Bus, ConversionError, DestinationError, Firmware, Guest, SourceDisk, TargetDisk
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.events import Step
from v2v_core.metadata import fit_profile
from v2v_core.plugins import load_plugin
from v2v_core.settings import OutputChoice
from v2v_core.steps import output_check
from v2v_output_rhv.ovf import PROFILE, Flavour
from v2v_output_rhv.ovf.hardware import bios_type


@pytest.mark.parametrize("mode", ["rhv", "rhv-upload", "vdsm"])
class TestDeclared:
    def test_by_each_output(self, mode: str) -> None:
        profile = load_plugin(Role.OUTPUT, mode).profile
        assert profile == PROFILE
        assert not profile.serial_console
        assert set(profile.firmware) == {Firmware.BIOS, Firmware.UEFI}

    def test_24_disks_are_refused_before_the_conversion(self, v2v_directory: ConversionDir, mode: str) -> None:
        disks = tuple(SourceDisk(index=index, size=512) for index in range(1, 25))
        metadata.write_source(v2v_directory.metadata_in, Guest(name="guest", disks=disks))
        v2v_directory.mark_done(Step.INPUT_SETUP)
        with pytest.raises(DestinationError, match=f"has 24 disks, but -o {mode} allows at most 23"):
            output_check.run(v2v_directory, OutputChoice(mode=mode))


@pytest.mark.parametrize(
    ("bus", "machine", "chosen"),
    [
        (Bus.VIRTIO_BLK, "q35", Bus.VIRTIO_BLK),
        (Bus.NVME, "q35", Bus.VIRTIO_BLK),
        (Bus.VIRTIO_SCSI, "q35", Bus.VIRTIO_SCSI),
        (Bus.SCSI, "q35", Bus.SATA),
        (Bus.IDE, "i440fx", Bus.IDE),
        (Bus.IDE, "q35", Bus.SATA),
    ],
)
def test_guest_gets_a_bus_that_ovirt_has(bus: Bus, machine: str, chosen: Bus) -> None:
    capabilities = replace(EXAMPLES["linux-bios"].target.capabilities, block_bus=bus, machine=machine)
    fitting, _warnings = fit_profile(capabilities, Firmware.BIOS, PROFILE)
    assert (fitting.block_bus, fitting.machine) == (chosen, machine)


@pytest.mark.parametrize("bus", [Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI])
def test_a_uefi_guest_of_an_older_kernel_gets_the_machine_with_uefi(bus: Bus) -> None:
    target = EXAMPLES["linux-uefi"].target
    asked = replace(target.capabilities, machine="i440fx", block_bus=bus, virtio_1_0=True)
    fitting, warnings = fit_profile(asked, Firmware.UEFI, PROFILE)
    assert (fitting.machine, fitting.block_bus) == ("q35", bus)
    assert warnings == ("the guest gets the machine type q35: at this target, i440fx cannot boot with UEFI",)
    assert bios_type(replace(target, capabilities=fitting)) == 2


@pytest.mark.parametrize(("bus", "virtio_1_0"), [(Bus.VIRTIO_BLK, False), (Bus.IDE, False), (Bus.IDE, True)])
def test_a_uefi_guest_that_would_not_find_its_disk_on_that_machine_is_refused(bus: Bus, virtio_1_0: bool) -> None:
    """It is refused by the conversion, before anything is copied."""
    asked = replace(EXAMPLES["linux-uefi"].target.capabilities, machine="i440fx", block_bus=bus, virtio_1_0=virtio_1_0)
    with pytest.raises(ConversionError, match="boots with UEFI, but its kernel is too old") as refused:
        fit_profile(asked, Firmware.UEFI, PROFILE)
    assert "newer kernel" in (refused.value.hint or "")


def test_an_older_guest_with_a_bios_keeps_its_machine() -> None:
    asked = replace(EXAMPLES["linux-bios"].target.capabilities, machine="i440fx", virtio_1_0=False)
    assert fit_profile(asked, Firmware.BIOS, PROFILE) == (asked, ())


def test_other_architectures_keep_their_machine() -> None:
    """The cluster chooses it, and the user is not told of a machine type that the guest does not get."""
    target = EXAMPLES["linux-bios"].target
    capabilities = replace(target.capabilities, arch="ppc64le", machine="virt")
    fitting, warnings = fit_profile(capabilities, Firmware.UNKNOWN, PROFILE)
    assert (fitting, warnings) == (capabilities, ())
    assert bios_type(replace(target, capabilities=fitting)) == 0


@BOTH
class TestOvf:
    def guest(self, bus: Bus) -> Any:
        return with_target(EXAMPLES["linux-bios"], disks=(TargetDisk(index=1, bus=bus, device="xda"),))

    @pytest.mark.parametrize("bus", PROFILE.buses)
    def test_each_bus_has_a_name(self, flavour: Flavour, bus: Bus) -> None:
        assert len(read(self.guest(bus), flavour).disks.findall("Disk")) == 1

    def test_another_bus_is_refused(self, flavour: Flavour) -> None:
        """The guest was converted without a check of the output."""
        with pytest.raises(DestinationError, match="disk 1: oVirt has no disks on scsi") as refused:
            read(self.guest(Bus.SCSI), flavour)
        assert refused.value.hint
