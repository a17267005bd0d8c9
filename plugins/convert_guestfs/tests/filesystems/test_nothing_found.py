# SPDX-License-Identifier: GPL-2.0-or-later
"""What is said where no operating system was found: what is there, and why the appliance cannot look into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from v2v_convert_guestfs.filesystems.nothing_found import image_in, nothing_found
from v2v_convert_guestfs.session import Session

Make = Callable[..., Session]


def test_a_file_system_with_an_unknown_feature_is_named(disks: type[Any], looked_at: Make) -> None:
    """See libguestfs/libguestfs#128: "no operating system was found", and /dev/sda2 was XFS from a newer kernel."""
    handle = disks(
        {"/dev/sda1": "xfs", "/dev/sda2": "xfs", "/dev/sda3": "swap"},
        refused={"/dev/sda2": "XFS (sda2): Superblock has unknown incompatible features (0x20) enabled."},
    )
    reason, hint = nothing_found(looked_at(handle))
    assert reason.startswith("no operating system was found; the appliance's kernel (6.1.0-9-amd64) does not know")
    assert "the feature nrext64 of the file system on /dev/sda2 (xfs)" in reason
    assert "SUPERMIN_KERNEL" in hint
    assert not handle.mounted


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("zfs_member", "is a part of a ZFS pool"),
        ("apfs", "has the file system APFS of macOS"),
        ("VMFS_volume_member", "has VMware's file system VMFS"),
        ("ufs", "has the file system UFS"),
        ("isw_raid_member", "is a part of an Intel firmware RAID"),
        ("LVM2_member", "is a physical volume of LVM, and the appliance finds no logical volume on it"),
        ("linux_raid_member", "is a part of a software RAID, which does not start"),
    ],
)
def test_what_the_appliance_cannot_look_into(kind: str, expected: str, disks: type[Any], looked_at: Make) -> None:
    """See libguestfs/libguestfs#166: a guest of macOS whose disk has APFS."""
    handle = disks({"/dev/sda1": "vfat", "/dev/sda2": kind})
    reason, hint = nothing_found(looked_at(handle, {"/dev/sda1": "vfat"}))
    assert f"; /dev/sda2 {expected}" in reason
    assert hint
    assert "damaged" not in reason


def test_damage_is_told_too(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda1": "ext4"}, refused={"/dev/sda1": "EXT4-fs (sda1): group descriptors corrupted!"})
    reason, hint = nothing_found(looked_at(handle))
    assert "the file system on /dev/sda1 (ext4) cannot be mounted: wrong fs type" in reason
    assert "repair" in hint


@pytest.mark.parametrize(
    ("start", "expected", "hint"),
    [
        (b"QFI\xfb\0\0\0\3", "disk 1 is an image in the format qcow2 that was opened as raw", "-if qcow2"),
        (b"vhdxfile", "disk 1 is an image in the format vhdx", "-if vhdx"),
        (bytes(64) + b"\x7f\x10\xda\xbe", "disk 1 is an image in the format vdi", "-if vdi"),
        (b"\x1f\x8b\x08\0", "disk 1 is a file packed with gzip", "unpack it"),
        (bytes(257) + b"ustar", "disk 1 is a file packed with tar", "-i ova"),
        (bytes(32769) + b"CD001", "disk 1 is an installation medium", "on which the guest is installed"),
        (bytes(8192) + b"\xe5\xd6\xd3\xf1", "partition table of an IBM mainframe", "right disk"),
        (bytes(450) + b"\xee" + bytes(59) + b"\x55\xaa", "disk 1 has lost its partition table", "copied whole"),
        (bytes(200_000 - 512) + b"EFI PART" + bytes(504), "only the copy at the end of the disk is left", "gdisk"),
        (bytes(4096) + b"EFI PART" + bytes(84), "disk 1 has a GPT without partitions", "right disk"),
    ],
)
def test_disks_without_partitions(start: bytes, expected: str, hint: str, disks: type[Any], looked_at: Make) -> None:
    """See cockpit-project/cockpit-machines#826 (qcow2 as raw) and cloudbase/qemu#2 (no partition table is left)."""
    handle = disks({}, contents={"/dev/sda": start})
    reason, remedy = nothing_found(looked_at(handle, {"/dev/sda": "unknown"}))
    assert expected in reason
    assert hint in remedy


def test_other_systems_are_named(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda1": "vfat", "/dev/sda2": "xfs"}, files={"/dev/sda2": ("/ostree/deploy",)})
    reason, hint = nothing_found(looked_at(handle))
    assert reason.endswith("only the file systems /dev/sda1 (vfat), /dev/sda2 (xfs)")
    assert "OSTree" in hint
    assert not handle.mounted


def test_blank_disks(disks: type[Any], looked_at: Make) -> None:
    reason, hint = nothing_found(looked_at(disks({}, contents={"/dev/sda": b""}), {"/dev/sda": "unknown"}))
    assert "they are blank" in reason
    assert "-if" in hint


def test_a_missing_disk_is_not_damage(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sda1": "LVM2_member"})
    handle.shell["lvm lvs"] = "  -wi-----p-:linear\n"
    reason, hint = nothing_found(looked_at(handle, {"/dev/vg/root": "inactive"}))
    assert "the logical volume /dev/vg/root is incomplete: physical volumes of its group vg are missing" in reason
    assert "give all disks" in hint


def test_an_error_is_not_endless(disks: type[Any], looked_at: Make) -> None:
    kinds = {f"/dev/sda{number}": "zfs_member" for number in range(1, 100)}
    reason, _ = nothing_found(looked_at(disks(kinds), {}))
    assert reason.endswith("and 93 more")


def test_a_disk_is_no_image() -> None:
    assert image_in(b"\xeb\x63\x90" + bytes(507) + b"\x55\xaa") is None
    assert image_in(b"") is None
