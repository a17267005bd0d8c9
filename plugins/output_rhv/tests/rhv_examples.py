# SPDX-License-Identifier: GPL-2.0-or-later
"""The three guests of the golden files, and how their OVFs are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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
    """Give the place of a disk."""
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
    """Give a small Linux guest: with BIOS on an i440fx, with UEFI on a q35."""
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
    """Give a Windows guest with two disks, of which it boots from the second, and three NICs."""
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
