# SPDX-License-Identifier: GPL-2.0-or-later
"""What kernels and checking programs say of file systems that they are too old for, and what it means."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.filesystems.features import SUPERBLOCKS
from v2v_convert_guestfs.filesystems.limits import (
    Limit,
    base_device,
    limit_of,
    short,
    why_not_checked,
    why_not_mounted,
)

RELEASE = "6.1.0-9-amd64"
WRONG_FS = (
    "mount_ro: mount exited with status 32: mount: /sysroot: wrong fs type, bad option, bad superblock on /dev/sda1, "
    "missing codepage or helper program, or other error.\n       dmesg(1) may have more information after failed mount "
    "system call."
)


def limit(kind: str, *log: str, error: str = WRONG_FS, start: bytes = b"") -> Limit:
    found = limit_of("/dev/sda1", kind, error, log, start, RELEASE)
    assert found is not None
    return found


def does_not_know(what: str, kind: str, end: str = "cannot mount it") -> str:
    file_system = f"the file system on /dev/sda1 ({kind})"
    return f"the appliance's kernel ({RELEASE}) does not know the {what} of {file_system} and {end}"


def test_xfs_of_a_newer_distribution() -> None:
    """See NixOS/nixpkgs#560887 and libguestfs/libguestfs#128: XFS with "exchange" and "parent", made by a new mkfs."""
    found = limit(
        "xfs",
        "[   22.281703] XFS (dm-4): Superblock has unknown incompatible features (0xc0) enabled.",
        "[   22.283699] XFS (dm-4): Filesystem cannot be safely mounted by this kernel.",
        "[   22.285740] XFS (dm-4): SB validate failed with error -22.",
    )
    assert found.reason == does_not_know("features exchange, parent", "xfs")
    assert "Linux 6.10 or later" in found.hint
    for variable in ("SUPERMIN_KERNEL", "SUPERMIN_MODULES", "LIBGUESTFS_CACHEDIR"):
        assert variable in found.hint


def test_xfs_that_can_only_be_read() -> None:
    found = limit(
        "xfs",
        "[   23.02] XFS (sde): Superblock has unknown read-only compatible features (0x48) enabled.",
        "[   23.02] XFS (sde): Attempted to mount read-only compatible filesystem read-write.",
    )
    assert found.reason == does_not_know(
        "features inobtcount, bit 6 of its read-only compatible features", "xfs", "cannot write it"
    )


def test_xfs_of_an_old_guest_on_a_new_host() -> None:
    """See kubev2v/forklift#3997: guests of RHEL 7 on a kernel without version 4 of XFS."""
    found = limit("xfs", "[    9.3] XFS (sda1): Deprecated V4 format (crc=0) not supported by kernel.")
    assert f"version 4 of XFS, and the appliance's kernel ({RELEASE}) is built without it" in found.reason
    assert "SUPERMIN_KERNEL" in found.hint


@pytest.mark.parametrize(
    ("said", "expected", "end"),
    [
        ("EXT4-fs (sda1): Couldn't mount because of unsupported optional features (20000)", "casefold", "mount"),
        (
            "EXT4-fs (sda1): couldn't mount RDWR because of unsupported optional features (400)",
            "metadata_csum",
            "write",
        ),
        (
            "EXT4-fs (sda1): Filesystem with casefold feature cannot be mounted without CONFIG_UNICODE",
            "casefold",
            "mount",
        ),
        ("EXT3-fs (sda1): error: couldn't mount because of unsupported optional features (40)", "extent", "mount"),
    ],
)
def test_ext4(said: str, expected: str, end: str) -> None:
    """See friendlyarm/linux-3.4.y#20: "couldn't mount RDWR because of unsupported optional features (400)"."""
    assert limit("ext4", f"[ 1.0] {said}").reason == does_not_know(f"feature {expected}", "ext4", f"cannot {end} it")


@pytest.mark.parametrize(
    ("said", "expected", "end"),
    [
        (
            "BTRFS error (device sdj): cannot mount because of unknown incompat features (0x4000)",
            "raid-stripe-tree",
            "mount",
        ),
        ("BTRFS: couldn't mount because of unsupported optional features (100).", "skinny-metadata", "mount"),
        (
            "BTRFS error: cannot mount read-write because of unsupported optional features (0x8)",
            "block-group-tree",
            "write",
        ),
        (
            "BTRFS error (device sdg): cannot mount read-write because of unknown compat_ro features (0x4)",
            "verity",
            "write",
        ),
    ],
)
def test_btrfs(said: str, expected: str, end: str) -> None:
    """See kdave/btrfs-progs#523 and archlinuxarm/PKGBUILDs#1223: what several versions of Linux say."""
    assert limit("btrfs", f"[ 1.0] {said}").reason == does_not_know(f"feature {expected}", "btrfs", f"cannot {end} it")


def test_btrfs_without_all_of_its_disks() -> None:
    start = bytearray(SUPERBLOCKS)
    start[65600:65608], start[65672] = b"_BHRfS_M", 2
    said = "[ 29.7] BTRFS error (device sdh): devid 2 uuid 7a909fc5-a8cb-4110-818f-abcc80260cd2 is missing"
    found = limit("btrfs", said, start=bytes(start))
    assert "is one of 2 devices of a btrfs file system, and not all of them are among the disks" in found.reason
    assert found.hint == "give all disks of the guest"


def test_a_kernel_without_the_driver() -> None:
    found = limit("f2fs", error="mount_ro: mount: /sysroot: unknown filesystem type 'f2fs'.")
    assert found.reason == (
        f"the appliance's kernel ({RELEASE}) has no driver for file systems of the type f2fs, which /dev/sda1 has"
    )


@pytest.mark.parametrize(
    "said",
    [
        "XFS (sda1): File system with blocksize 65536 bytes. Only pagesize (4096) or less will currently work.",
        "BTRFS error (device sda1): sectorsize 65536 not yet supported for page size 4096",
    ],
)
def test_blocks_larger_than_pages(said: str) -> None:
    assert "has blocks of 65536 bytes" in limit("xfs", said).reason


def test_a_superblock_is_enough_if_the_kernel_says_nothing() -> None:
    start = bytearray(SUPERBLOCKS)
    start[:4], start[101], start[216:220] = b"XFSB", 0xB5, (1 << 8).to_bytes(4, "big")
    assert limit("xfs", start=bytes(start)).reason == does_not_know("feature metadir", "xfs")


@pytest.mark.parametrize(
    "said",
    [
        "EXT4-fs (sda1): bad geometry: block count 76800 exceeds size of device (40000 blocks)",
        "XFS (sda1): Metadata CRC error detected at xfs_agf_read_verify",
        "BTRFS error (device sda1): open_ctree failed",
        "",
    ],
)
def test_damage_is_no_limit(said: str) -> None:
    assert limit_of("/dev/sda1", "ext4", WRONG_FS, [said], bytes(SUPERBLOCKS), RELEASE) is None


@pytest.mark.parametrize("bits", [1 << 12, 1 << 12 | 1 << 16])
def test_e2fsck_that_is_too_old(bits: int) -> None:
    """See tytso/e2fsprogs#147 and NixOS/nixpkgs#229450: "orphan_file" of e2fsprogs 1.47, and an e2fsck of 1.46."""
    said = (
        f"/dev/sda1 has unsupported feature(s): FEATURE_C12{' FEATURE_R16' if bits >> 16 else ''}\n"
        "e2fsck: Get a newer version of e2fsck!\n\n/dev/sda1: ***** WARNING: Filesystem still has errors *****"
    )
    expected = "orphan_file, orphan_present" if bits >> 16 else "orphan_file"
    assert why_not_checked("ext4", said, b"") == f"e2fsck of the appliance is too old for {expected}"


def test_other_checking_programs_that_are_too_old() -> None:
    said = (
        "Phase 1 - find and verify superblock...\n"
        "Superblock has unknown compat/rocompat/incompat features (0x0/0x8/0x40).\n"
        "Using a more recent xfs_repair is recommended."
    )
    assert why_not_checked("xfs", said, b"") == "xfs_repair of the appliance is too old for inobtcount, exchange"
    start = bytearray(SUPERBLOCKS)
    start[65600:65608], start[65600 + 116] = b"_BHRfS_M", 8
    assert why_not_checked("btrfs", "ERROR: unsupported optional features (8)", bytes(start)) == (
        "btrfs check of the appliance is too old for block-group-tree"
    )
    for kind in ("ext4", "xfs", "btrfs"):
        assert why_not_checked(kind, "UNEXPECTED INCONSISTENCY; RUN fsck MANUALLY.", b"") is None


class Kernel:
    """A libguestfs whose kernel says something each time that it is asked to mount, until it mounts."""

    def __init__(self, said: str, *, mounts: bool = False) -> None:
        self.said, self.mounts = said, mounts
        self.log = ["[ 1.0] XFS (sdb): Superblock has unknown incompatible features (0x100) enabled."]
        self.mounted = False

    def dmesg(self) -> str:
        return "\n".join(self.log)

    def mount_options(self, options: str, device: str, place: str) -> None:
        self.log.append(f"[ {len(self.log)}.5] {self.said}")
        if not self.mounts:
            raise RuntimeError(WRONG_FS)
        self.mounted = True

    def umount_all(self) -> None:
        self.mounted = False

    def utsname(self) -> dict[str, str]:
        return {"uts_release": RELEASE}

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        raise RuntimeError("pread_device: input/output error")


def test_only_what_the_kernel_says_of_this_file_system_counts() -> None:
    found = why_not_mounted(
        Kernel("XFS (sda): Superblock has unknown incompatible features (0x20)"), "/dev/sda", "xfs", ""
    )
    assert found is not None
    assert "feature nrext64 of" in found.reason
    assert why_not_mounted(Kernel("XFS (sda): Metadata corruption detected"), "/dev/sda", "xfs", "") is None
    kernel = Kernel("XFS (sda): Ending clean mount", mounts=True)
    assert why_not_mounted(kernel, "/dev/sda", "xfs", "ro") is None
    assert not kernel.mounted


@pytest.mark.parametrize(
    ("device", "base"),
    [
        ("btrfsvol:/dev/sda1/@/.snapshots/1/snapshot", "/dev/sda1"),
        ("btrfsvol:/dev/vg/root/@", "/dev/vg/root"),
        ("btrfsvol:/dev/mapper/luks-1/@/a b", "/dev/mapper/luks-1"),
        ("btrfsvol:/dev/md127/root", "/dev/md127"),
        ("/dev/vg/root", "/dev/vg/root"),
    ],
)
def test_the_device_of_a_subvolume(device: str, base: str) -> None:
    assert base_device(device) == base


def test_the_message_of_mount_is_short() -> None:
    assert short(RuntimeError(WRONG_FS)) == (
        "wrong fs type, bad option, bad superblock on /dev/sda1, missing codepage or helper program, or other error."
    )
