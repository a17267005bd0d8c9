# SPDX-License-Identifier: GPL-2.0-or-later
"""VMX files: the syntax, every field, and what is refused."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limits import bounded
from v2v_cli.render.print_source import print_source
from v2v_core.api import (
    Bus,
    Cpu,
    Firmware,
    Guest,
    InputSetupRequest,
    Nic,
    OptionValues,
    QemuImage,
    Removable,
    SourceError,
    Topology,
    UsageError,
)
from v2v_core.serving.qemu_nbd import block_node, json_name
from v2v_core.testing import FakeReporter
from v2v_input_vmware.vmx.guest import VmxDisk, genid, guest_of
from v2v_input_vmware.vmx.plugin import VmxInput
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


def test_syntax() -> None:
    warnings: list[str] = []
    vmx = parse_vmx(
        b'#!/usr/bin/vmware\r\n\r\n  # comment\r\n.encoding = "UTF-8"\r\n'
        b'displayName = "a |22quoted|22 name |7C"\r\nMemSize="64"\r\nbad line\r\nunquoted = 5\r\n'
        b'memsize = "65"\r\nscsi0:0.present = "FALSE"\r\nscsi0:0.fileName = "a.vmdk"\r\nscsi0:01.x = "kept"\r\n',
        warnings.append,
    )
    assert vmx.get("displayname") == 'a "quoted" name |'
    assert vmx.number("memSize") == 64
    assert vmx.get("scsi0:0.fileName") is None
    assert vmx.get("scsi0:01.x") == "kept"
    assert [line.split(" of ")[0] for line in warnings] == ["line 7", "line 8", "line 9"]


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "shift_jis"])
def test_the_file_says_how_it_is_encoded(encoding: str) -> None:
    name = "テスト" if encoding == "shift_jis" else "Bücher"
    text = f'.encoding = "{encoding}"\ndisplayName = "{name}"\n'
    assert read(text.encode(encoding))[0].name == name


@given(st.binary(max_size=400))
def test_no_file_is_a_surprise(data: bytes) -> None:
    with bounded():
        guest, disks, _ = read(data)
    assert len(guest.disks) == len(disks)
    assert guest.memory > 0


@given(st.lists(st.sampled_from(
    ['scsi0:0.fileName = "a"', 'ide1:0.deviceType = "cdrom-raw"', "ethernet0.x", 'ethernet0.address = "', "|", '= "x"',
     'numvcpus = "0"', 'cpuid.coresPerSocket = "0"', 'memSize = "-1"', 'vm.genid = "99999999999999999999"',
     'ethernet99999999999999.present = "TRUE"', 'scsi0.present = "FALSE"', ".present = \"FALSE\"", "\x85\x1c"]
)))  # fmt: skip
def test_no_combination_of_lines_is_a_surprise(lines: list[str]) -> None:
    with bounded():
        guest, disks, _ = read("\n".join(lines))
    assert len(guest.disks) == len(disks)
    assert guest.memory > 0


def test_defaults() -> None:
    guest, disks, warnings = read("")
    assert guest == Guest(
        name="from-file", hypervisor="vmware", memory=32 * 1024 * 1024, cpu=Cpu(count=1), firmware=Firmware.BIOS
    )
    assert disks == ()
    assert "displayName" in warnings[0]


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
ide0:1.fileName = "not-a-disk-without-its-type.vmdk"
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
        "sata.vmdk",
        "ide.vmdk",
    ]
    assert [disk.bus for disk in guest.disks] == [Bus.SCSI, Bus.SCSI, Bus.SCSI, Bus.NVME, Bus.SATA, Bus.IDE]
    assert guest.disks[0].origin == "scsi0:2, scsi.vmdk"


@pytest.mark.parametrize(
    ("device", "kind", "is_disk"),
    [
        *(("scsi0:0", kind, True) for kind in ("", "disk", "plainDisk", "rawDisk", "scsi-hardDisk", "SCSI-HARDDISK")),
        *(("scsi0:0", kind, False) for kind in ("cdrom-image", "cdrom-raw", "atapi-cdrom", "scsi-passthru")),
        ("nvme0:0", "", True),
        ("nvme0:0", "disk", False),
        ("sata0:0", "", True),
        ("sata0:0", "disk", True),
        ("sata0:0", "cdrom-image", False),
        ("ide0:0", "", False),
        ("ide0:0", "disk", False),
        ("ide0:0", "ata-hardDisk", True),
    ],
)
def test_which_device_types_are_disks(device: str, kind: str, is_disk: bool) -> None:
    named = f'{device}.deviceType = "{kind}"\n' if kind else ""
    assert bool(guest_with(f'{device}.fileName = "a.vmdk"\n{named}').disks) is is_disk


def test_removables() -> None:
    guest = guest_with(
        'ide1:0.deviceType = "atapi-cdrom"\nide0:1.deviceType = "cdrom-image"\nide1:1.deviceType = "cdrom-raw"\n'
        # as with virt-v2v, only those on IDE count
        'sata0:0.deviceType = "cdrom-image"\nscsi0:5.deviceType = "cdrom-image"\nfloppy0.fileName = "a.flp"\n'
    )
    assert guest.removables == (
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
    """With everything below them; a controller and its devices are names of their own."""
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
ethernet2.present = "FALSE"
ethernet2.networkName = "gone"
""")
    assert guest.nics == (
        Nic(network="VM Network", kind="network", mac="00:50:56:00:00:02", model="e1000"),
        Nic(network="ethernet1", kind="bridge", mac="00:0c:29:00:00:01", model="vmxnet3"),
    )


def setup(path: Path, tmp_path: Path, **more: object) -> tuple[Guest, FakeReporter]:
    report = FakeReporter()
    request = InputSetupRequest(directory=tmp_path, arguments=(str(path),), report=report, **more)  # type: ignore[arg-type]
    return VmxInput().v2v_input_setup(request).guest, report


@pytest.fixture
def vmx(tmp_path: Path) -> Path:
    directory = tmp_path / "guest"
    directory.mkdir()
    argv = ["qemu-img", "create", "-q", "-f", "vmdk", "-o", "subformat=monolithicFlat", directory / "disk.vmdk", "10M"]
    subprocess.run(argv, check=True)
    path = directory / "guest.vmx"
    path.write_text('displayName = "g"\nscsi0:0.fileName = "disk.vmdk"\n')
    return path


def test_a_local_file(vmx: Path, tmp_path: Path) -> None:
    guest, report = setup(vmx, tmp_path)
    assert guest.name == "g"
    assert report.warnings == []


@pytest.mark.parametrize("content", ["KDMV....", "# Disk DescriptorFile\n", "nothing\n", 'x = "y"\n', "\0\0"])
def test_what_is_no_vmx_file_is_refused(vmx: Path, tmp_path: Path, content: str) -> None:
    vmx.write_text(content)
    with pytest.raises(SourceError) as caught:
        setup(vmx, tmp_path)
    assert caught.value.hint


def test_a_snapshot_is_read_with_what_lies_below(vmx: Path, tmp_path: Path) -> None:
    """As VMware Workstation leaves them: the VMX file names the last of a chain."""
    below, above = vmx.parent / "disk.vmdk", vmx.parent / "disk-000001.vmdk"
    subprocess.run(["qemu-io", "-f", "vmdk", "-c", "write -P 0x41 0 64k", below], check=True, capture_output=True)
    argv = ["qemu-img", "create", "-q", "-f", "vmdk", "-F", "vmdk", "-b", below.name, above.name]
    subprocess.run(argv, check=True, cwd=vmx.parent)
    subprocess.run(["qemu-io", "-f", "vmdk", "-c", "write -P 0x42 64k 64k", above], check=True, capture_output=True)
    vmx.write_text('displayName = "g"\nscsi0:0.fileName = "disk-000001.vmdk"\n')
    request = InputSetupRequest(directory=tmp_path, arguments=(str(vmx),), report=FakeReporter())
    (image,) = VmxInput().v2v_input_setup(request).disks
    assert isinstance(image, QemuImage)
    argv = ["qemu-img", "dd", "-O", "raw", "bs=65536", "count=2", f"if={json_name(block_node(image))}", "of=read"]
    subprocess.run(argv, check=True, cwd=tmp_path)
    same = (tmp_path / "read").read_bytes() == b"A" * 65536 + b"B" * 65536
    assert same


def test_an_encrypted_machine_is_told(vmx: Path, tmp_path: Path) -> None:
    vmx.write_text('.encoding = "UTF-8"\ndisplayName = "g"\nencryption.keySafe = "vmware:key"\nencryption.data = "x"\n')
    with pytest.raises(SourceError, match="is encrypted") as caught:
        setup(vmx, tmp_path)
    assert "remove the encryption" in str(caught.value.hint)


def test_a_missing_disk_is_named(vmx: Path, tmp_path: Path) -> None:
    (vmx.parent / "disk.vmdk").unlink()
    with pytest.raises(SourceError, match=r"the disk scsi0:0 .*disk\.vmdk: No such file"):
        setup(vmx, tmp_path)


@pytest.mark.parametrize("name", ["/etc/hostname", "../other/disk.vmdk"])
def test_a_disk_elsewhere_is_refused(vmx: Path, tmp_path: Path, name: str) -> None:
    vmx.write_text(f'displayName = "g"\nscsi0:0.fileName = "{name}"\n')
    with pytest.raises(SourceError, match="lies outside") as caught:
        setup(vmx, tmp_path)
    assert "allow-external-files" in str(caught.value.hint)


def test_a_disk_whose_extent_is_a_file_of_the_host_is_refused(vmx: Path, tmp_path: Path) -> None:
    disk = vmx.parent / "disk.vmdk"
    disk.write_text(disk.read_text().replace("disk-flat.vmdk", "/etc/hostname"))
    with pytest.raises(SourceError, match="refers to a file outside"):
        setup(vmx, tmp_path)


def test_a_disk_that_is_not_an_ordinary_file_is_refused(vmx: Path, tmp_path: Path) -> None:
    """A device node in the directory of an unpacked guest would be a disk of the host."""
    disk = vmx.parent / "disk-flat.vmdk"
    disk.unlink()
    os.mkfifo(disk)
    with pytest.raises(SourceError, match="a device or another special file") as caught:
        setup(vmx, tmp_path)
    assert "scsi0:0" in caught.value.message
    (vmx.parent / "disk.vmdk").unlink()
    os.mkfifo(vmx.parent / "disk.vmdk")
    with pytest.raises(SourceError, match="neither a file nor a block device"):
        setup(vmx, tmp_path)


def test_a_name_that_no_file_can_have(vmx: Path, tmp_path: Path) -> None:
    vmx.write_text('displayName = "g"\nscsi0:0.fileName = "disk|00.vmdk"\n')
    with pytest.raises(SourceError, match="scsi0:0"):
        setup(vmx, tmp_path)
    values = {"allow-external-files": ("true",)}
    with pytest.raises(SourceError, match="scsi0:0"):
        setup(vmx, tmp_path, options=OptionValues(values=values))


def test_a_vmx_file_that_is_a_link_out_of_its_directory(vmx: Path, tmp_path: Path) -> None:
    """What it says and is not understood would be shown, line by line."""
    (tmp_path / "host-secret").write_text("secret of the host\n")
    vmx.unlink()
    vmx.symlink_to(tmp_path / "host-secret")
    report = FakeReporter()
    request = InputSetupRequest(directory=tmp_path, arguments=(str(vmx),), report=report)
    with pytest.raises(SourceError, match="leads out of its directory"):
        VmxInput().v2v_input_setup(request)
    assert report.warnings == []


def test_a_disk_that_is_no_vmdk_is_refused(vmx: Path, tmp_path: Path) -> None:
    (vmx.parent / "disk.vmdk").write_bytes(b"\0" * 1024)
    with pytest.raises(SourceError, match="scsi0:0"):
        setup(vmx, tmp_path)


@pytest.mark.parametrize("more", [{"transport": "vddk"}, {"in_place": True}, {"format": "vmdk"}, {"connection": "x"}])
def test_what_does_not_go_together(vmx: Path, tmp_path: Path, more: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        setup(vmx, tmp_path, **more)
    assert caught.value.hint


def test_print_source(vmx: Path, tmp_path: Path) -> None:
    """The text of --print-source, as scripts compare it."""
    vmx.write_text("""\
displayName = "a guest"
memSize = "2048"
numvcpus = "4"
cpuid.coresPerSocket = "2"
firmware = "efi"
scsi0:0.fileName = "disk.vmdk"
ide1:0.deviceType = "cdrom-image"
ethernet0.virtualDev = "e1000"
ethernet0.networkName = "VM Network"
ethernet0.generatedAddress = "00:0c:29:73:9c:11"
""")
    guest, _ = setup(vmx, tmp_path)
    assert (
        print_source(guest)
        == """\
Source guest information (--print-source option):

    source name: a guest
hypervisor type: vmware
       VM genid:\N{SPACE}
         memory: 2147483648 (bytes)
       nr vCPUs: 4
     CPU vendor:\N{SPACE}
      CPU model:\N{SPACE}
   CPU topology: sockets: 2 cores/socket: 2 threads/core: 1
   CPU features:\N{SPACE}
       firmware: uefi
UEFI secureboot: false
        display:\N{SPACE}
          sound:\N{SPACE}
disks:
\t0 [scsi]
removable media:
\tCD-ROM [ide] in slot 2
NICs:
\tNetwork "VM Network" mac: 00:0c:29:73:9c:11 [e1000]

"""
    )
