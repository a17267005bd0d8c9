# SPDX-License-Identifier: GPL-2.0-or-later
"""What the appliance cannot use stops the conversion only if the system is on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from v2v_convert_guestfs import checks, mounts
from v2v_convert_guestfs.disks import INACTIVE, list_filesystems
from v2v_convert_guestfs.filesystems.inactive import why_inactive
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError
from v2v_core.testing import FakeReporter

Make = Callable[..., Session]
NREXT64 = "XFS (sdb1): Superblock has unknown incompatible features (0x20) enabled."


def warnings(session: Session) -> list[str]:
    assert isinstance(session.report, FakeReporter)
    return session.report.warnings


@pytest.mark.parametrize(("place", "needed"), [("data", False), ("home", False), ("var", True), ("usr", True)])
def test_an_unknown_feature_of_a_second_disk(place: str, needed: bool, disks: type[Any], looked_at: Make) -> None:
    """See osbuild/bootc-image-builder#638: XFS with nrext64, made by a new mkfs.xfs, on a kernel that is older."""
    handle = disks({"/dev/sda1": "f2fs", "/dev/sdb1": "xfs"}, refused={"/dev/sdb1": NREXT64})
    session, blockers = looked_at(handle, **{place: "/dev/sdb1"}), Blockers()
    assert not checks.check_filesystems(session, blockers), "it is not damaged"
    said = [reason for reason, _ in blockers.reasons] if needed else warnings(session)
    assert len(said) == 1
    assert "feature nrext64 of the file system on /dev/sdb1 (xfs)" in said[0]
    assert f"/{place} of the guest" in said[0]
    assert bool(blockers.reasons) is needed
    mounts.mount_guest(session, blockers, untouched=False)
    checks.check_filesystems_after(session)
    assert [device for _, device, _ in handle.mounts] == ["/dev/sda1"]
    assert len(warnings(session)) == (not needed), "it is said once"


def test_damage_is_still_damage(disks: type[Any], looked_at: Make) -> None:
    handle = disks({"/dev/sdb1": "xfs"}, refused={"/dev/sdb1": "XFS (sdb1): Metadata CRC error detected"})
    session, blockers = looked_at(handle), Blockers()
    assert checks.check_filesystems(session, blockers)
    assert blockers.reasons[0][0].startswith("the file system on /dev/sdb1 (xfs) is damaged: wrong fs type")


def test_a_root_that_can_only_be_read(disks: type[Any], looked_at: Make) -> None:
    handle = disks(
        {"/dev/sda1": "ext4"},
        refused={"/dev/sda1": "EXT4-fs (sda1): couldn't mount RDWR because of unsupported optional features (20000)"},
        read_only=("/dev/sda1",),
    )
    with pytest.raises(ConversionError) as caught:
        mounts.mount_guest(looked_at(handle), Blockers(), untouched=False)
    assert "the root file system of the guest cannot be used: the appliance's kernel" in caught.value.message
    assert "bit 17 of its read-only compatible features" in caught.value.message
    assert "start the guest" not in str(caught.value.hint)


def test_what_fails_late_is_told_and_everything_else_is_mounted_again(disks: type[Any], looked_at: Make) -> None:
    """See kdave/btrfs-progs#523: a block-group-tree, which the kernel reads and does not write."""
    said = "BTRFS error: cannot mount read-write because of unsupported optional features (0x8)"
    handle = disks(
        {"/dev/sda1": "ext4", "/dev/sda2": "ext4", "/dev/sdb": "btrfs"},
        refused={"/dev/sdb": said},
        read_only=("/dev/sdb",),
    )
    session, blockers = looked_at(handle, boot="/dev/sda2", data="/dev/sdb", gone="/dev/sdz1"), Blockers()
    mounts.mount_guest(session, blockers, untouched=False)
    assert handle.mounted == {"/": "/dev/sda1", "/boot": "/dev/sda2"}
    assert not blockers.reasons
    assert "feature block-group-tree of the file system on /dev/sdb" in warnings(session)[0]
    assert "/data of the guest is copied as it is" in warnings(session)[0]
    session, blockers = looked_at(handle, boot="/dev/sda2", var="/dev/sdb"), Blockers()
    handle.umount_all()
    mounts.mount_guest(session, blockers, untouched=False)
    assert "/var of the guest cannot be used" in blockers.reasons[0][0]


@pytest.mark.parametrize(
    ("listed", "reason", "hint"),
    [
        ("  -wi-----p-:linear\n", "is incomplete: physical volumes of its group vg are missing", "give all disks"),
        ("  vwi---v---:vdo\n", "has the type vdo, which the appliance (kernel 6.1.0-9-amd64) does not", "lvconvert"),
        ("", "has the type unknown", "lvconvert"),
    ],
)
def test_volumes_that_are_not_active(listed: str, reason: str, hint: str, disks: type[Any], looked_at: Make) -> None:
    """See libguestfs/libguestfs#281: LVM lists volumes whose disks are missing, and asking for their type fails."""
    handle = disks({"/dev/sda1": "f2fs", "/dev/vg/data": INACTIVE})
    handle.shell["lvm lvs"] = listed
    session, blockers = looked_at(handle, data="/dev/vg/data"), Blockers()
    assert not checks.check_filesystems(session, blockers)
    assert not blockers.reasons
    assert reason in warnings(session)[0]
    assert hint in why_inactive(session, "/dev/vg/data").hint
    session = looked_at(handle, opt="/dev/vg/data")
    checks.check_filesystems(session, blockers)
    assert blockers.reasons[0][0].startswith("/opt of the guest cannot be used: the logical volume /dev/vg/data")


class Volumes:
    """What libguestfs says of a group with a volume that waits to be activated, and one that cannot be."""

    def __init__(self) -> None:
        self.activated = 0

    def list_devices(self) -> list[str]:
        return ["/dev/sda"]

    def list_partitions(self) -> list[str]:
        return []

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return bytes(count)

    def lvs(self) -> list[str]:
        return ["/dev/vg/data", "/dev/vg/root"]

    def list_md_devices(self) -> list[str]:
        return []

    def list_dm_devices(self) -> list[str]:
        return []

    def vg_activate_all(self, activate: bool) -> None:
        self.activated += activate
        raise RuntimeError("vg_activate_all: Refusing activation of partial LV vg/data.")

    def vfs_type(self, device: str) -> str:
        if device == "/dev/vg/data" or (device == "/dev/vg/root" and not self.activated):
            raise RuntimeError(f"vfs_type: vfs_type_stub: {device}: No such file or directory")
        return "LVM2_member" if device == "/dev/sda" else "ext4"


def test_whole_volumes_of_an_incomplete_group_are_activated() -> None:
    handle = Volumes()
    assert list_filesystems(handle) == {"/dev/vg/root": "ext4", "/dev/vg/data": INACTIVE}
    assert handle.activated == 1


def test_a_file_system_that_only_the_checking_program_does_not_know(disks: type[Any], looked_at: Make) -> None:
    """See tytso/e2fsprogs#147: the kernel of the appliance knows the file system, its e2fsck does not."""
    handle = disks({"/dev/sda1": "ext4"})
    asked: list[str] = []

    def e2fsck(device: str, *, forceno: bool) -> None:
        asked.append(device)
        raise RuntimeError(
            f"e2fsck: {device} has unsupported feature(s): FEATURE_C12\ne2fsck: Get a newer version of e2fsck!\n"
            f"{device}: ********** WARNING: Filesystem still has errors **********"
        )

    handle.e2fsck = e2fsck
    session, blockers = looked_at(handle), Blockers()
    assert not checks.check_filesystems(session, blockers)
    assert not blockers.reasons
    assert warnings(session) == [
        "the file system on /dev/sda1 (ext4) is not checked: e2fsck of the appliance is too old for orphan_file. The "
        "appliance's kernel knows it"
    ]
    checks.check_filesystems_after(session)
    assert asked == ["/dev/sda1"]


def test_xfs_that_only_xfs_repair_does_not_know(disks: type[Any], looked_at: Make) -> None:
    superblock = bytearray(512)
    superblock[:4], superblock[100:102], superblock[219] = b"XFSB", b"\xb4\xb5", 0x40
    handle = disks({"/dev/sda1": "xfs"}, contents={"/dev/sda1": bytes(superblock)})
    handle.xfs_repair = lambda device, *, nomodify, noprefetch: 1
    handle.shell["cat /proc/mounts"] = "/dev/sdx1 /sysroot xfs ro 0 0\n"
    handle.shell["xfs_repair -nP /dev/sdx1"] = (
        "Superblock has unknown compat/rocompat/incompat features (0x0/0x0/0x40).\nUsing a more recent xfs_repair"
    )
    session, blockers = looked_at(handle), Blockers()
    assert not checks.check_filesystems(session, blockers)
    assert "xfs_repair of the appliance is too old for exchange" in warnings(session)[0]
    handle.shell["xfs_repair -nP /dev/sdx1"] = "Metadata corruption detected"
    assert checks.check_filesystems(looked_at(handle), blockers)


def test_a_part_of_the_system_may_be_on_what_cannot_be_used(disks: type[Any], looked_at: Make) -> None:
    fstab = b"/dev/disk/by-id/strange /var xfs defaults 0 2\nUUID=1 / ext4 defaults 0 1\n"
    fstab = fstab.replace(b"/dev/disk/by-id/strange", b"LABEL=strange")
    handle = disks({"/dev/sda1": "ext4", "/dev/sdb1": "xfs"}, refused={"/dev/sdb1": NREXT64}, fstab=fstab)
    handle.e2fsck = lambda device, *, forceno: None
    handle.touch = handle.rm_f = lambda path: None
    handle.statvfs = lambda place: {"bfree": 10**6, "bsize": 4096, "blocks": 10**6, "files": 0, "ffree": 0}
    session, blockers = looked_at(handle), Blockers()
    checks.check_filesystems(session, blockers)
    assert not blockers.reasons
    mounts.mount_guest(session, blockers, untouched=False)
    checks.check_guest(session, blockers, untouched=False)
    assert "/var of the guest may be on what cannot be used" in blockers.reasons[0][0]


def test_a_device_that_is_only_recognised_in_fstab(disks: type[Any], looked_at: Make) -> None:
    """The check comes before fstab is read: what it has left for data may turn out to be the system's."""
    handle = disks({"/dev/sda1": "f2fs", "/dev/sdb1": "xfs"}, refused={"/dev/sdb1": NREXT64})
    handle.touch = handle.rm_f = lambda path: None
    handle.statvfs = lambda place: {"bfree": 10**6, "bsize": 4096, "blocks": 10**6, "files": 0, "ffree": 0}
    session, blockers = looked_at(handle), Blockers()
    checks.check_filesystems(session, blockers)
    assert not blockers.reasons
    session.found = replace(session.inspection, mountpoints=(("/", "/dev/sda1"), ("/usr", "/dev/sdb1")))
    mounts.mount_guest(session, blockers, untouched=False)
    checks.check_guest(session, blockers, untouched=False)
    assert [reason.partition(":")[0] for reason, _ in blockers.reasons] == ["/usr of the guest cannot be used"]


def test_an_overlay_on_etc_is_told(disks: type[Any], looked_at: Make) -> None:
    """See SUSE-Enceladus/cloud-regionsrv-client#81: SLE Micro, whose older releases have an overlay on /etc."""
    fstab = b"overlay /etc overlay defaults,lowerdir=/sysroot/etc,upperdir=/sysroot/var/lib/overlay/1/etc 0 0\n"
    handle = disks({"/dev/sda1": "f2fs"}, fstab=fstab + b"overlay /srv/x overlay lowerdir=/a 0 0\n")
    handle.touch = handle.rm_f = lambda path: None
    handle.statvfs = lambda place: {"bfree": 10**6, "bsize": 4096, "blocks": 10**6, "files": 0, "ffree": 0}
    session, blockers = looked_at(handle), Blockers()
    mounts.mount_guest(session, blockers, untouched=False)
    checks.check_guest(session, blockers, untouched=False)
    assert not blockers.reasons
    (warning,) = warnings(session)
    assert "the guest mounts an overlay on /etc" in warning
