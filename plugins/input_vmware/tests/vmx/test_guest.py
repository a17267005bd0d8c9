# SPDX-License-Identifier: GPL-2.0-or-later
"""Every field of the metadata that is read from a VMX file."""

from __future__ import annotations

import re

import pytest

from v2v_core.api import Bus, Cpu, Firmware, Guest, Nic, Removable, Topology
from v2v_input_vmware.vmx.guest import VmxDisk, assumed, genid, guest_of
from v2v_input_vmware.vmx.syntax import parse_vmx


def read(text: str | bytes) -> tuple[Guest, tuple[VmxDisk, ...], list[str]]:
    warnings: list[str] = []
    data = text if isinstance(text, bytes) else text.encode()
    guest, disks = guest_of(parse_vmx(data, warnings.append), "from-file", warnings.append)
    return guest, disks, warnings


def guest_with(text: str) -> Guest:
    guest, _, warnings = read('displayName = "g"\n' + text)
    assert warnings == []
    return guest


def test_defaults() -> None:
    guest, disks, warnings = read("")
    assert guest == Guest(
        name="from-file", hypervisor="vmware", memory=32 * 1024 * 1024, cpu=Cpu(count=1), firmware=Firmware.BIOS
    )
    assert disks == ()
    assert "displayName" in warnings[0]


@pytest.mark.parametrize(("text", "fields"), [("", ("memory",)), ('memSize = "64"', ()), ('memsize = "64"', ())])
def test_what_the_file_does_not_say_is_assumed(text: str, fields: tuple[str, ...]) -> None:
    """A file without ``numvcpus`` means one CPU, and one without ``ethernet0`` no interface."""
    assert assumed(parse_vmx(text.encode(), print)) == fields


def test_simple_fields() -> None:
    guest = guest_with('memSize = "2048"\nnumvcpus = "4"\nfirmware = "efi"\nuefi.secureBoot.enabled = "TRUE"\n')
    assert guest.memory == 2048 * 1024 * 1024
    assert guest.cpu == Cpu(count=4)
    assert guest.firmware is Firmware.UEFI
    assert guest.secure_boot
    assert guest_with('firmware = "bios"').firmware is Firmware.BIOS
    assert not guest_with('uefi.secureBoot.enabled = "FALSE"').secure_boot


def test_cpu_topology() -> None:
    cpu = guest_with('numvcpus = "8"\ncpuid.coresPerSocket = "4"').cpu
    assert cpu.topology == Topology(sockets=2, cores=4, threads=1)
    guest, _, warnings = read('displayName = "g"\nnumvcpus = "2"\ncpuid.coresPerSocket = "4"')
    assert guest.cpu == Cpu(count=2)
    assert len(warnings) == 1


def test_unknown_firmware_and_sound_are_told() -> None:
    guest, _, warnings = read('displayName = "g"\nfirmware = "openfirmware"\nsound.virtualDev = "gus"')
    assert (guest.firmware, guest.sound) == (Firmware.BIOS, None)
    assert len(warnings) == 2


@pytest.mark.parametrize(("device", "model"), [("sb16", "sb16"), ("es1371", "es1370"), ("hdaudio", "ich6")])
def test_sound(device: str, model: str) -> None:
    assert guest_with(f'sound.virtualDev = "{device}"').sound == model


def test_genid() -> None:
    assert genid(0x0123456789ABCDEF, 0x1122334455667788) == "89abcdef-4567-0123-8877-665544332211"
    assert genid(-2, -(1 << 63)) == "fffffffe-ffff-ffff-0000-000000000080"
    assert genid(1, None) is None
    guest = guest_with('vm.genid = "81985529216486895"\nvm.genidX = "1234605616436508552"')
    assert guest.genid == "89abcdef-4567-0123-8877-665544332211"


def test_disks_in_their_order() -> None:
    text = """\
ide0:0.deviceType = "ata-hardDisk"
ide0:0.fileName = "ide.vmdk"
ide0:1.fileName = "a-disk-without-its-type.vmdk"
sata0:1.fileName = "sata.vmdk"
sata0:2.deviceType = "cdrom-image"
sata0:2.fileName = "cd.iso"
nvme0:0.fileName = "nvme.vmdk"
nvme0:1.fileName = "odd.vmdk"
nvme0:1.deviceType = "disk"
scsi1:0.fileName = "scsi-second.vmdk"
scsi0:10.fileName = "scsi-tenth.vmdk"
scsi0:10.deviceType = "plainDisk"
scsi0:2.fileName = "scsi.vmdk"
scsi0:2.deviceType = "scsi-hardDisk"
scsi0:3.fileName = "cd"
scsi0:3.deviceType = "scsi-cdrom"
scsi0:4.deviceType = "disk"
"""
    guest, disks, _ = read(text)
    assert [disk.file for disk in disks] == [
        "scsi.vmdk",
        "scsi-tenth.vmdk",
        "scsi-second.vmdk",
        "nvme.vmdk",
        "odd.vmdk",
        "sata.vmdk",
        "ide.vmdk",
        "a-disk-without-its-type.vmdk",
    ]
    assert [disk.bus for disk in guest.disks] == [*[Bus.SCSI] * 3, *[Bus.NVME] * 2, Bus.SATA, *[Bus.IDE] * 2]
    assert guest.disks[0].origin == "scsi0:2, scsi.vmdk"


@pytest.mark.parametrize("device", ["scsi0:0", "nvme0:0", "sata0:0", "ide0:0", "IDE1:1"])
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "disk",
        "plainDisk",
        "rawDisk",
        "scsi-hardDisk",
        "ata-hardDisk",
        "SCSI-HARDDISK",
        "nvme-hardDisk",
        "sata-disk",
    ],
)
def test_every_drive_with_a_file_is_a_disk(device: str, kind: str) -> None:
    """Every program writes other types.

    libguestfs/virt-v2v#5: an IDE disk without a type. vmware/terraform-provider-vsphere#1189: IDE and ``disk``.
    libguestfs/virt-v2v#36: a disk that was moved from SCSI to SATA. hashicorp/vagrant-vmware-desktop#116: NVMe.
    """
    named = f'{device}.deviceType = "{kind}"\n' if kind else ""
    guest = guest_with(f'{device}.present = "TRUE"\n{device}.fileName = "a.vmdk"\n{named}')
    assert [disk.origin for disk in guest.disks] == [f"{device.lower()}, a.vmdk"]
    assert guest.removables == ()


@pytest.mark.parametrize("device", ["scsi0:0", "sata0:0", "ide0:0"])
@pytest.mark.parametrize(
    ("kind", "file"),
    [
        *((kind, file) for kind in ("cdrom-image", "cdrom-raw", "atapi-cdrom") for file in ("a.iso", "", "x.vmdk")),
        ("scsi-cdrom", "/dev/scd0"),
        ("", "tools.ISO"),
        ("", "auto detect"),
        ("", "/dev/cdrom"),
        ("", "/vmfs/devices/cdrom/mpx.vmhba32:C0:T0:L0"),
        ("", "D:"),
        ("", "CD-ROM 1"),
    ],
)
def test_cdroms_are_not_disks(device: str, kind: str, file: str) -> None:
    """vmware/terraform-provider-vsphere#1338: CD-ROM drives of the host, "passthrough", are common in old machines."""
    named = f'{device}.deviceType = "{kind}"\n' if kind else ""
    guest = guest_with(f'{device}.present = "TRUE"\n{device}.fileName = "{file}"\n{named}')
    assert guest.disks == ()
    assert [drive.kind for drive in guest.removables] == ["cdrom"]


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ('scsi0:1.fileName = "/dev/sg2"\nscsi0:1.deviceType = "scsi-passthru"', "scsi0:1 .* a device of the host"),
        ('sata0:1.present = "TRUE"', "sata0:1 .* has no fileName"),
        ('nvme0:0.present = "TRUE"\nnvme0:0.fileName = ""', "nvme0:0 .* has no fileName"),
        ('usb:0.fileName = "stick.vmdk"', "'stick.vmdk' of usb:0 .* not supported"),
    ],
)
def test_drives_that_are_left_out_are_reported(text: str, warning: str) -> None:
    guest, _, warnings = read(f'displayName = "g"\n{text}\n')
    assert guest.disks == ()
    (reported,) = warnings
    assert re.search(warning, reported)


def test_the_drive_of_a_client_is_a_cdrom() -> None:
    guest = guest_with('ide1:0.present = "TRUE"\nide1:0.clientDevice = "TRUE"\nide1:0.fileName = "remote device"')
    assert guest.disks == ()
    assert [drive.kind for drive in guest.removables] == ["cdrom"]
    assert guest_with('scsi0:0.clientDevice = "FALSE"\nscsi0:0.fileName = "cd-rom.vmdk"').removables == ()


def test_a_redo_log_is_told() -> None:
    """Disks of old machines that are undoable or not persistent have their latest changes in a redo log."""
    disk = 'displayName = "g"\nscsi0:0.fileName = "a.vmdk"\n'
    assert read(disk + 'scsi0:0.redo = ""\nscsi0:0.mode = "independent-persistent"')[2] == []
    guest, _, (warning,) = read(disk + 'scsi0:0.redo = "./a.vmdk.REDO_x1"')
    assert len(guest.disks) == 1
    assert "a.vmdk.REDO_x1" in warning


def test_a_mapped_lun_is_a_disk() -> None:
    """Its descriptor says that the data is on a LUN, and is refused with that reason."""
    guest = guest_with('scsi0:1.fileName = "lun.vmdk"\nscsi0:1.deviceType = "scsi-passthru-rdm"')
    assert [disk.origin for disk in guest.disks] == ["scsi0:1, lun.vmdk"]


def test_removables() -> None:
    guest = guest_with(
        'ide1:0.deviceType = "atapi-cdrom"\nide0:1.deviceType = "cdrom-image"\nide1:1.deviceType = "cdrom-raw"\n'
        'sata1:2.deviceType = "cdrom-image"\nscsi0:5.deviceType = "cdrom-image"\nfloppy0.fileName = "a.flp"\n'
    )
    assert guest.removables == (
        Removable(kind="cdrom", bus=Bus.SCSI, slot=5),
        Removable(kind="cdrom", bus=Bus.SATA, slot=32),
        Removable(kind="cdrom", bus=Bus.IDE, slot=1),
        Removable(kind="cdrom", bus=Bus.IDE, slot=2),
        Removable(kind="cdrom", bus=Bus.IDE, slot=3),
    )


@pytest.mark.parametrize(
    ("text", "tpm"),
    [
        ('vtpm.present = "TRUE"', "2.0"),
        ('managedvm.autoAddVTPM = "software"', "2.0"),
        ('vtpm.present = "FALSE"', None),
        ("", None),
    ],
)
def test_tpm(text: str, tpm: str | None) -> None:
    assert guest_with(text).tpm == tpm


def test_operating_system() -> None:
    assert guest_with('guestOS = "debian11-64"').os == "debian11-64"


def test_boot_order() -> None:
    names = "".join(f'scsi0:{number}.fileName = "{number}.vmdk"\n' for number in range(3))
    guest = guest_with(f'{names}bios.bootOrder = "hdd,cdrom"\nbios.hddOrder = "SCSI0:2, scsi0:0,scsi0:2,ide0:0"\n')
    assert [disk.boot_order for disk in guest.disks] == [2, None, 1]
    assert [disk.boot_order for disk in guest_with(names).disks] == [None, None, None]


def test_namespaces_that_are_absent() -> None:
    """``present`` covers the names below it. A controller and its devices have separate names."""
    guest = guest_with(
        'scsi0.present = "FALSE"\nscsi0:0.fileName = "a.vmdk"\nscsi0:1.present = "false"\nscsi0:1.fileName = "b"\n'
        'ethernet0.present = "FALSE"\nethernet0.address = "00:50:56:00:00:02"\nuefi.secureBoot.present = "FALSE"\n'
        'uefi.secureBoot.enabled = "TRUE"\n'
    )
    assert [disk.origin for disk in guest.disks] == ["scsi0:0, a.vmdk"]
    assert guest.nics == ()
    assert not guest.secure_boot


def test_nics() -> None:
    guest = guest_with("""\
ethernet1.virtualDev = "VMXNET3"
ethernet1.generatedAddress = "00:0c:29:00:00:01"
ethernet1.connectionType = "bridged"
ethernet0.present = "TRUE"
ethernet0.virtualDev = "e1000"
ethernet0.networkName = "VM Network"
ethernet0.addressType = "static"
ethernet0.address = "00:50:56:00:00:02"
ethernet0.generatedAddress = "00:0c:29:00:00:02"
ethernet0.pciSlotNumber = "192"
ethernet1.pciSlotNumber = "1184"
ethernet2.present = "FALSE"
ethernet2.networkName = "gone"
ethernet3.pciSlotNumber = "-1"
""")
    assert guest.nics == (
        Nic(network="VM Network", kind="network", mac="00:50:56:00:00:02", model="e1000", pci_slot=192),
        Nic(network="ethernet1", kind="bridge", mac="00:0c:29:00:00:01", model="vmxnet3", pci_slot=1184),
        Nic(network="ethernet3"),
    )


def test_the_places_of_disks_on_their_controllers() -> None:
    text = 'scsi1:3.fileName = "a.vmdk"\nide1:0.fileName = "b.vmdk"\nnvme0:1.fileName = "c.vmdk"\n'
    assert [(disk.bus, disk.controller, disk.unit) for disk in guest_with(text).disks] == [
        (Bus.SCSI, 1, 3),
        (Bus.NVME, 0, 1),
        (Bus.IDE, 1, 0),
    ]
