# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks with logical blocks of 4096 bytes: from the source's description into the target's, or refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from v2v_core.errors import ConversionError
from v2v_core.metadata import assign_buses, libvirt_domain, read_source, read_target, write_source, write_target
from v2v_core.metadata.blocks import with_sizes
from v2v_core.model import (
    Bus,
    Capabilities,
    Firmware,
    Guest,
    Inspection,
    SourceDisk,
    TargetDisk,
    TargetGuest,
    TargetProfile,
)

GUEST = Guest(
    name="x",
    disks=(SourceDisk(index=1, size=2**20), SourceDisk(index=2, size=2**20, block_size=4096)),
    hypervisor="kvm",
)


def sized(
    guest: Guest = GUEST,
    found: tuple[int, ...] = (),
    *,
    capabilities: Capabilities | None = None,
    profile: TargetProfile | None = None,
    firmware: Firmware = Firmware.UEFI,
) -> tuple[tuple[TargetDisk, ...], list[str]]:
    warnings: list[str] = []
    disks, _, _ = assign_buses(guest, capabilities or Capabilities())
    return with_sizes(disks, guest, found, firmware, profile or TargetProfile(), warnings.append), warnings


def test_what_was_found_goes_before_what_the_source_says() -> None:
    assert [disk.block_size for disk in sized()[0]] == [512, 4096]
    assert [disk.block_size for disk in sized(found=(4096, 512))[0]] == [4096, 512]
    assert [disk.size for disk in sized()[0]] == [2**20, 2**20]


def test_the_source_says_it_in_libvirts_element(tmp_path: Path) -> None:
    """See kubevirt/kubevirt#5028: guests see 512 bytes unless the description of the disk says otherwise."""
    xml = b"""<domain type='kvm'><name>x</name><devices>
      <disk type='file' device='disk'><target dev='vda' bus='virtio'/>
        <blockio logical_block_size='4096' physical_block_size='4096'/></disk>
      <disk type='file' device='disk'><target dev='vdb' bus='virtio'/></disk></devices></domain>"""
    (tmp_path / "m").write_bytes(xml)
    assert [disk.block_size for disk in read_source(tmp_path / "m").disks] == [4096, None]
    write_source(tmp_path / "n", read_source(tmp_path / "m"), domain_xml=xml)
    written = etree.parse(str(tmp_path / "n")).findall("devices/disk/blockio")
    assert [dict(element.attrib) for element in written] == [
        {"logical_block_size": "4096", "physical_block_size": "4096"}
    ]


def test_the_domain_of_the_target_says_it(tmp_path: Path) -> None:
    disks, _ = sized()
    target = TargetGuest(
        source=GUEST,
        inspection=Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64"),
        capabilities=Capabilities(),
        firmware=Firmware.UEFI,
        disks=disks,
    )
    write_source(tmp_path / "in", GUEST)
    write_target(tmp_path / "out", tmp_path / "in", target)
    assert read_target(tmp_path / "out").disks == disks
    domain = etree.fromstring(libvirt_domain(tmp_path / "out", name="x"))
    blocks = [disk.find("blockio") for disk in domain.iterfind("devices/disk")]
    assert blocks[0] is None
    assert blocks[1] is not None
    assert dict(blocks[1].attrib) == {"logical_block_size": "4096", "physical_block_size": "4096"}


def test_a_target_without_such_disks_refuses_the_guest() -> None:
    """See oVirt/ovirt-site#1704: on storage with blocks of 4 KiB, guests of oVirt still see 512 bytes."""
    with pytest.raises(
        ConversionError, match=r"disk 2 has logical blocks of 4096 bytes .* can have 512 only"
    ) as caught:
        sized(profile=TargetProfile(block_sizes=(512,)))
    assert caught.value.hint is not None
    assert "-o local" in caught.value.hint


@pytest.mark.parametrize("bus", [Bus.IDE, Bus.SATA])
def test_qemu_has_no_such_disks_on_ide_and_sata(bus: Bus) -> None:
    with pytest.raises(ConversionError, match=r"disk 2 has logical blocks of 4096 bytes .* virtio disks only"):
        sized(capabilities=Capabilities(block_bus=bus))
    assert sized(replace(GUEST, disks=GUEST.disks[:1]), capabilities=Capabilities(block_bus=bus))[1] == []


def test_the_bios_does_not_boot_from_such_disks() -> None:
    """See pop-os/distinst#181: a guest with logical blocks of 4096 bytes on which the firmware finds nothing."""
    booting = replace(GUEST, disks=(replace(GUEST.disks[0], block_size=4096), GUEST.disks[1]))
    assert sized(booting, firmware=Firmware.UEFI)[1] == []
    (warning,) = sized(booting, firmware=Firmware.BIOS)[1]
    assert "boots from disk 1" in warning
    assert sized(firmware=Firmware.BIOS)[1] == []
