# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests that name their disks by what VMware's controllers make of them: everything is mounted where it was."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from guests.boot import BootResult, boot
from guests.disk_images import overlay
from guests.look import mounted, read_files
from runs import Place, said

pytestmark = pytest.mark.slow

_VMX = '.encoding = "UTF-8"\ndisplayName = "named"\nmemSize = "1024"\n'
_ANOTHER_SYSTEM = """
submenu 'Others' {
menuentry 'Another system' {
\tlinux /boot/vmlinuz root=%s ro
\tinitrd /boot/initrd.img
}
}
"""
_SWAP_UNIT = "[Unit]\nDescription=Swap\n[Swap]\nWhat=/dev/sda4\n[Install]\nWantedBy=swap.target\n"


def as_in_vmware(
    place: Place, guest: tuple[Path, Path], devices: tuple[str, str], files: Mapping[str, str], grub: Mapping[str, str]
) -> Path:
    """Write a VMX file with the guest's two disks on these devices, and return it.

    :param files: new files of the guest, by their paths.
    :param grub: replacements in grub.cfg, as regular expressions; what belongs to "" is appended.
    """
    lines, directory = [_VMX], place.root / "vmware"
    directory.mkdir()
    overlays = [overlay(image, place.root / f"{image.stem}.qcow2") for image in guest]
    with mounted(overlays[0], "/dev/sda3") as handle:
        handle.mount("/dev/sda2", "/boot")
        for path, text in files.items():
            handle.mkdir_p(path.rpartition("/")[0])
            handle.write(path, text.encode())
            if path.endswith(".swap"):
                handle.mkdir_p("/etc/systemd/system/swap.target.wants")
                handle.ln_s(path, f"/etc/systemd/system/swap.target.wants/{path.rpartition('/')[2]}")
        menu = handle.read_file("/boot/grub/grub.cfg").decode()
        for old, new in grub.items():
            menu = re.sub(old, lambda _, new=new: new, menu) if old else menu + new
        handle.write("/boot/grub/grub.cfg", menu.encode())
    for device, image in zip(devices, overlays, strict=True):
        target = directory / f"{image.stem}.vmdk"
        subprocess.run(["qemu-img", "convert", "-O", "vmdk", image, target], check=True)
        controller = device.partition(":")[0]
        lines += [f'{controller}.present = "TRUE"\n', f'{device}.present = "TRUE"\n']
        lines += [f'{device}.fileName = "{target.name}"\n', 'scsi0.virtualDev = "pvscsi"\n']
    (directory / "named.vmx").write_text("".join(dict.fromkeys(lines)))
    return directory / "named.vmx"


def converted(place: Place, vmx: Path) -> tuple[list[Path], str]:
    """Convert a local VMX file; return the disks and what was said."""
    out = place.root / "out"
    out.mkdir()
    done = place.run("virt-v2v", "-i", "vmx", vmx, "-o", "local", "-os", out, "-of", "qcow2")
    assert done.returncode == 0, said(done)
    disks = []
    for letter in "ab":
        disks.append(place.root / f"converted{letter}.qcow2")
        disks[-1].symlink_to(out / f"named-sd{letter}")
    return disks, said(done)


def check_mounts(booted: BootResult) -> None:
    """Check that each file system is mounted where it was, and that nothing failed."""
    assert booted.reached, booted.tail()
    assert booted.facts["failed"] == "0", booted.tail()
    assert booted.mounts["/"] == "/dev/vda3"
    assert booted.mounts["/boot"] == "/dev/vda2"
    assert booted.mounts["/srv/data"] == "/dev/vdb1"
    assert booted.facts["swap"] == "/dev/vda4"


@pytest.mark.timeout(2400)
def test_pvscsi_and_nvme(place: Place, two_disk_guest: tuple[Path, Path]) -> None:
    """A swap unit names its disk, too, and an entry of another system the disk of that system."""
    fstab = (
        "/dev/sda3 / xfs defaults 0 0\n/dev/sda2 /boot ext4 defaults 0 2\n/dev/nvme0n1p1 /srv/data ext4 defaults 0 2\n"
    )
    files = {"/etc/fstab": fstab, "/etc/systemd/system/dev-sda4.swap": _SWAP_UNIT}
    menu = {r"root=UUID=\S+": "root=/dev/sda3", "": _ANOTHER_SYSTEM % "/dev/nvme0n1p1"}
    disks, text = converted(place, as_in_vmware(place, two_disk_guest, ("scsi0:0", "nvme0:0"), files, menu))
    assert "it cannot be told" not in text

    found = read_files(disks, ["/etc/fstab", "/boot/grub/grub.cfg", "/etc/systemd/system/*.swap"])
    assert b"/dev/vdb1 /srv/data ext4" in found["/etc/fstab"]
    assert b"What=/dev/vda4\n" in found["/etc/systemd/system/dev-vda4.swap"]
    assert "/etc/systemd/system/dev-sda4.swap" not in found
    own, _, another = found["/boot/grub/grub.cfg"].partition(b"menuentry 'Another system'")
    (data,) = re.findall(rb"root=UUID=(\S+) ro\n", another)
    roots = set(re.findall(rb"root=UUID=(\S+)", own))
    assert len(roots) == 1
    assert data not in roots
    with mounted(disks[1], "/dev/sda1") as handle:
        assert str(handle.vfs_uuid("/dev/sda1")).encode() == data
        assert handle.exists("/ledger.txt")

    check_mounts(boot(disks))


@pytest.mark.zoo
@pytest.mark.timeout(2400)
def test_ide_and_scsi_by_links(place: Place, two_disk_guest: tuple[Path, Path]) -> None:
    """The system is on a SCSI disk and the data on an IDE disk, and both are named by links that KVM does not have."""
    scsi, wwid = (
        "/dev/disk/by-path/pci-0000:03:00.0-scsi-0:0:0:0",
        "/dev/disk/by-id/scsi-36000c29a5d1f7c1e2b3a495867788990",
    )
    ide = "/dev/disk/by-path/pci-0000:00:07.1-ata-1"
    fstab = (
        f"{scsi}-part3 / xfs defaults 0 0\n{wwid}-part2 /boot ext4 defaults 0 2\n{wwid}-part4 none swap sw 0 0\n"
        f"{ide}-part1 /srv/data ext4 defaults 0 2\n"
    )
    menu = {r"root=UUID=\S+": f"root={scsi}-part3", r"resume=\S+": f"resume={wwid}-part4"}
    disks, text = converted(
        place, as_in_vmware(place, two_disk_guest, ("scsi0:0", "ide0:0"), {"/etc/fstab": fstab}, menu)
    )
    assert "it cannot be told" not in text
    found = read_files(disks, ["/etc/fstab", "/boot/grub/grub.cfg"])
    assert re.fullmatch(
        rb"UUID=\S+ / xfs .*\nUUID=\S+ /boot ext4 .*\nUUID=\S+ none swap .*\nUUID=\S+ /srv/data ext4 .*\n",
        found["/etc/fstab"],
    )
    assert b"/dev/disk/by-" not in found["/boot/grub/grub.cfg"]
    check_mounts(boot(disks))
