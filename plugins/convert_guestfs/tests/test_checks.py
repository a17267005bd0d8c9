# SPDX-License-Identifier: GPL-2.0-or-later
"""The checks before and after: what stands in the way, what is only said, and that nothing is ever repaired."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs import checks
from v2v_convert_guestfs.linux.checks import fstab_places
from v2v_convert_guestfs.linux.operating_system import Linux
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, Guest, Inspection
from v2v_core.testing.fakes import FakeReporter


class Handle:
    """What the checks use of libguestfs, for file systems of which some are damaged."""

    def __init__(self, damaged: tuple[str, ...] = (), *, fstab: bytes = b"", btrfs_used: int = 0) -> None:
        self.damaged = damaged
        self.fstab = fstab
        self.btrfs_used = btrfs_used
        self.mounted: str | None = None
        self.checked: list[str] = []

    def mount_ro(self, device: str, place: str) -> None:
        assert self.mounted is None, "something is mounted already"
        self.mounted = device

    def umount_all(self) -> None:
        self.mounted = None

    def e2fsck(self, device: str, *, correct: bool = False, forceall: bool = False) -> None:
        raise AssertionError("this libguestfs repairs")

    def debug(self, command: str, words: list[str]) -> str:
        if words == ["cat /proc/mounts"]:
            return f"proc /proc proc rw 0 0\n{(self.mounted or '').replace('/sd', '/other')} /sysroot ext4 ro 0 0\n"
        assert self.mounted is None, "it must not be mounted while it is checked"
        self.checked.append(words[0])
        self._fail(words[0].split()[2].replace("/other", "/sd"))
        return ""

    def xfs_repair(self, device: str, *, nomodify: bool, noprefetch: bool) -> int:
        assert nomodify
        return int(device in self.damaged)

    def pread_device(self, device: str, size: int, offset: int) -> bytes:
        return bytes(64) + b"_BHRfS_M" + bytes(48) + self.btrfs_used.to_bytes(8, "little") + bytes(size - 128)

    def btrfs_fsck(self, device: str) -> None:
        self.checked.append(f"btrfs check {device}")
        self._fail(device)

    def statvfs(self, place: str) -> dict[str, int]:
        return {"bfree": 10**6, "bsize": 4096, "blocks": 10**6, "files": 10**6, "ffree": 10**6}

    def mountpoints(self) -> dict[str, str]:
        return {"/dev/sda1": "/"}

    def touch(self, path: str) -> None:
        pass

    rm_f = touch

    def exists(self, path: str) -> bool:
        return path == "/etc/fstab"

    def realpath(self, path: str) -> str:
        return path

    def is_file(self, path: str, *, followsymlinks: bool) -> bool:
        return True

    def filesize(self, path: str) -> int:
        return len(self.fstab)

    def pread(self, path: str, size: int, offset: int) -> bytes:
        return self.fstab[offset : offset + size]

    def _fail(self, device: str) -> None:
        if device in self.damaged:
            raise RuntimeError(f"{device}: errors")


def session(handle: Handle, filesystems: dict[str, str], distro: str = "debian", major: int = 12) -> Session:
    request = ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=FakeReporter(),
    )
    made = Session(request=request, handle=handle, filesystems=filesystems)
    made.found = Inspection(
        root="/dev/sda1",
        os_type="linux",
        distro=distro,
        arch="x86_64",
        major_version=major,
        mountpoints=(("/", "/dev/sda1"),),
    )
    return made


def warnings(session: Session) -> list[str]:
    assert isinstance(session.report, FakeReporter)
    return session.report.warnings


def test_all_damage_is_told() -> None:
    handle = Handle(("/dev/sda1", "/dev/sda3"))
    blockers = Blockers()
    kinds = {"/dev/sda1": "ext4", "/dev/sda2": "ext4", "/dev/sda3": "xfs", "/dev/sda4": "swap"}
    assert checks.check_filesystems(session(handle, kinds), blockers)
    assert [reason.split(" is ")[0] for reason, _ in blockers.reasons] == [
        "the file system on /dev/sda1 (ext4)",
        "the file system on /dev/sda3 (xfs)",
    ]
    # By the appliance's own name of the disk, and without changing anything.
    assert handle.checked == ["e2fsck -fn /dev/othera1 1>&2", "e2fsck -fn /dev/othera2 1>&2"]
    assert handle.mounted is None
    assert not checks.check_filesystems(session(Handle(), kinds), Blockers())


def test_a_newer_libguestfs_does_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, asked = Handle(), []
    monkeypatch.setattr(handle, "e2fsck", lambda device, *, forceno: asked.append((device, forceno)))
    assert not checks.check_filesystems(session(handle, {"/dev/sda1": "ext3"}), Blockers())
    assert asked == [("/dev/sda1", True)]
    assert handle.checked == []


@pytest.mark.parametrize(("distro", "major", "fatal"), [("rhel", 7, False), ("centos", 7, False), ("rhel", 8, True)])
def test_xfs_of_red_hat_7_counts_otherwise(distro: str, major: int, fatal: bool) -> None:
    found = session(Handle(("/dev/sda1",)), {"/dev/sda1": "xfs"}, distro, major)
    if fatal:
        with pytest.raises(ConversionError, match="damaged after the conversion"):
            checks.check_filesystems_after(found)
    else:
        checks.check_filesystems_after(found)
        assert len(warnings(found)) == 1
    with pytest.raises(ConversionError):
        checks.check_filesystems_after(session(Handle(("/dev/sda1",)), {"/dev/sda1": "ext4"}, distro, major))


@pytest.mark.parametrize(("used", "checked"), [(1024**3, True), (1024**4, False)])
def test_btrfs_is_checked_as_far_as_memory_goes(used: int, checked: bool) -> None:
    handle = Handle(btrfs_used=used)
    kinds = {"/dev/sda1": "btrfs", "btrfsvol:/dev/sda1/@": "btrfs"}
    assert not checks.check_filesystems(session(handle, kinds), Blockers())
    assert handle.checked == (["btrfs check /dev/sda1"] if checked else [])


@pytest.mark.parametrize(
    ("fstab", "blocks"),
    [
        (b"UUID=1 / ext4 defaults 0 1\n/dev/mapper/x /home ext4 defaults 0 2\n", False),
        (b"UUID=1 / ext4 defaults 0 1\n/dev/mapper/x /var/lib ext4 defaults 0 2\n", True),
        (b"UUID=1 / ext4 defaults 0 1\n/dev/mapper/x /varx ext4 defaults 0 2\n", False),
    ],
)
def test_what_is_encrypted_stands_in_the_way_if_the_system_is_in_it(fstab: bytes, blocks: bool) -> None:
    found, blockers = session(Handle(fstab=fstab), {"/dev/sda1": "ext4", "/dev/sdb1": "crypto_LUKS"}), Blockers()
    checks.check_guest(found, blockers, untouched=False)
    assert bool(blockers.reasons) is blocks
    assert len(warnings(found)) == (not blocks)
    for reason, hint in blockers.reasons:
        assert "/dev/sdb1" in reason
        assert "--key /dev/sdb1:file:FILE" in hint


def test_places_of_fstab() -> None:
    data = b"#/dev/a /a x\nUUID=1 / ext4 x\n/dev/mapper/x /var/ xfs x\nn:/x /usr nfs x\nproc /p proc\n\xff\n/dev/sr0\n"
    assert fstab_places(data) == {"/", "/var"}


def test_space() -> None:
    mib = 1024 * 1024
    space_needed = Linux(session(Handle(), {})).space_needed
    assert (space_needed("/", 9**12), space_needed("/boot", 9**12), space_needed("/srv", 9**12)) == (
        100 * mib,
        space_needed("/boot", 200 * mib),
        10 * mib,
    )
    assert space_needed("/boot/efi", 100 * mib) == 5 * mib
