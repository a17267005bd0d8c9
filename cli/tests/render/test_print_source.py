# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of --print-source, as a whole."""

from __future__ import annotations

from v2v_cli.render.print_source import print_source
from v2v_core.model import Bus, Cpu, Display, Firmware, Guest, Nic, Removable, SourceDisk, Topology


def test_guest_with_everything() -> None:
    guest = Guest(
        name="vm\x1b",
        hypervisor="vmware",
        memory=1073741824,
        cpu=Cpu(count=64, vendor="Intel", model="Broadwell", topology=Topology(sockets=4, cores=8, threads=2)),
        features=("pae", "acpi", "apic"),
        firmware=Firmware.UEFI,
        secure_boot=True,
        genid="8312995e-57b8-f814-4013-c1ba795f05ba",
        display=Display(kind="vnc", keymap="de", password="secret", listen="127.0.0.1"),
        sound="ac97",
        disks=(SourceDisk(index=1, bus=Bus.SCSI), SourceDisk(index=2, bus=Bus.VIRTIO_BLK), SourceDisk(index=3)),
        removables=(Removable(kind="cdrom", bus=Bus.IDE, slot=2), Removable(kind="floppy", bus=Bus.FLOPPY, slot=0)),
        nics=(
            Nic(network="VM Network", mac="00:0c:29:36:ef:31", model="vmxnet3"),
            Nic(network="br0", kind="bridge"),
        ),
    )
    assert print_source(guest) == (
        "Source guest information (--print-source option):\n"
        "\n"
        "    source name: vm\N{REPLACEMENT CHARACTER}\n"
        "hypervisor type: vmware\n"
        "       VM genid: 8312995e-57b8-f814-4013-c1ba795f05ba\n"
        "         memory: 1073741824 (bytes)\n"
        "       nr vCPUs: 64\n"
        "     CPU vendor: Intel\n"
        "      CPU model: Broadwell\n"
        "   CPU topology: sockets: 4 cores/socket: 8 threads/core: 2\n"
        "   CPU features: acpi,apic,pae\n"
        "       firmware: uefi\n"
        "UEFI secureboot: true\n"
        "        display: vnc de with password listening on address 127.0.0.1\n"
        "          sound: ac97\n"
        "disks:\n"
        "\t0 [scsi]\n"
        "\t1 [virtio-blk]\n"
        "\t2\n"
        "removable media:\n"
        "\tCD-ROM [ide] in slot 2\n"
        "\tFloppy in slot 0\n"
        "NICs:\n"
        '\tNetwork "VM Network" mac: 00:0c:29:36:ef:31 [vmxnet3]\n'
        '\tBridge "br0"\n'
        "\n"
    )


def test_empty_lists_are_an_empty_line_each() -> None:
    assert print_source(Guest(name="g")).endswith("disks:\n\nremovable media:\n\nNICs:\n\n\n")


def test_unknown_hypervisor_has_virt_v2vs_name() -> None:
    assert "hypervisor type: unknownhv\n" in print_source(Guest(name="g"))
