# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vmx`` with a local file: files that are read, and files that are refused."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from v2v_cli.render.print_source import print_source
from v2v_core.api import Guest, InputSetupRequest, OptionValues, QemuImage, SourceError, UsageError
from v2v_core.serving.qemu_nbd import block_node, json_name
from v2v_core.testing import FakeReporter
from v2v_input_vmware.vmx.plugin import VmxInput


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
    """VMware Workstation leaves such chains: the VMX file names the last image."""
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


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        "/vmfs/volumes/5e3f/other guest/data.vmdk",
        "/vmfs/volumes/5e3f/guest/disk.vmdk",
        "C:\\VMs\\guest\\disk.vmdk",
        "..\\base\\disk.vmdk",
        "../base/data.vmdk",
    ],
)
def test_a_disk_that_was_elsewhere_on_the_old_host(vmx: Path, tmp_path: Path, name: str, external: bool) -> None:
    """Following the hint helps, and allow-external-files, which cannot help, is not in it."""
    vmx.write_text(f'displayName = "g"\nscsi0:0.fileName = "{name}"\n')
    values = {"allow-external-files": ("true",)} if external else {}
    with pytest.raises(SourceError, match=r"scsi0:0 .* there is no such file on this machine") as caught:
        setup(vmx, tmp_path, options=OptionValues(values=values))
    hint = caught.value.hint or ""
    assert "allow-external" not in hint
    assert "-it ssh" in hint
    assert ("lies beside" in hint) is name.endswith("disk.vmdk")
    (setting,) = re.findall(r'scsi0:0\.fileName = "[^"]*"', hint)
    if "copy it" in hint:
        (vmx.parent / "disk.vmdk").rename(vmx.parent / "data.vmdk")
    vmx.write_text(f'displayName = "g"\n{setting}\n')
    assert setup(vmx, tmp_path)[1].warnings == []


@pytest.mark.parametrize("name", ["/etc/hostname", "../other/disk.vmdk"])
def test_a_disk_elsewhere_is_refused(vmx: Path, tmp_path: Path, name: str) -> None:
    (vmx.parent.parent / "other").mkdir()
    (vmx.parent.parent / "other/disk.vmdk").touch()
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
    """A device node in the directory of an unpacked guest could be a disk of the host."""
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
    """A warning would show each line of the linked file that cannot be parsed."""
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
    """Scripts compare the text of --print-source."""
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
