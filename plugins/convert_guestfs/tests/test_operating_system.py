# SPDX-License-Identifier: GPL-2.0-or-later
"""What the common part asks about the guest's system: Windows has no fstab, and other remedies than Linux."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from v2v_convert_guestfs import checks, mounts
from v2v_convert_guestfs.firmware import ESP, find_boot_disk
from v2v_convert_guestfs.operating_system import MIB, OperatingSystem, operating_system_of
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, Firmware, Guest, Inspection, SourceDisk
from v2v_core.testing import FakeReporter

ACTIVE, PLAIN = True, False


class Handle:
    """As much of libguestfs as the checks of a Windows guest take; its partitions are active or not.

    :param code: the beginnings of devices. :param read_only: why the root cannot be written, if it cannot.
    :param unmountable: why the root cannot be mounted, if it cannot. :param free: bytes on the root.
    """

    def __init__(
        self,
        partitions: Mapping[str, bool] | None = None,
        *,
        code: Mapping[str, bytes] | None = None,
        read_only: str = "",
        unmountable: str = "",
        free: int = 2**30,
    ) -> None:
        self.partitions, self.code = partitions or {"/dev/sda1": ACTIVE, "/dev/sda2": PLAIN}, code or {}
        self.read_only, self.unmountable, self.free = read_only, unmountable, free

    def list_devices(self) -> list[str]:
        return sorted({name.rstrip("0123456789") for name in self.partitions})

    def list_partitions(self) -> list[str]:
        return sorted(self.partitions)

    def part_to_dev(self, partition: str) -> str:
        disk = partition.rstrip("0123456789")
        if disk == partition:
            raise RuntimeError("it is not a partition")
        return disk

    def part_to_partnum(self, partition: str) -> int:
        return int(partition.removeprefix(self.part_to_dev(partition)))

    def part_get_bootable(self, disk: str, number: int) -> bool:
        if disk in self.code:
            raise RuntimeError("parted: the disk label is not recognised")
        return self.partitions[f"{disk}{number}"]

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return self.code.get(device, b"").ljust(40_000, b"\0")[offset : offset + count]

    def blockdev_getss(self, device: str) -> int:
        return 512

    def mount_options(self, options: str, device: str, place: str) -> None:
        if self.unmountable:
            raise RuntimeError(self.unmountable)

    def mountpoints(self) -> dict[str, str]:
        return {"/dev/sda2": "/"}

    def umount_all(self) -> None: ...

    def dmesg(self) -> str:
        return ""

    def utsname(self) -> dict[str, str]:
        return {"uts_release": "6.1.0"}

    def touch(self, path: str) -> None:
        if self.read_only:
            raise RuntimeError(self.read_only)

    def rm_f(self, path: str) -> None: ...

    def statvfs(self, place: str) -> dict[str, int]:
        return {"bfree": self.free // 4096, "bsize": 4096, "blocks": 10**7, "files": 10**6, "ffree": 10**5}


def session_of(
    handle: Handle, *, os_type: str = "windows", disks: int = 2, order: Mapping[int, int] | None = None
) -> Session:
    orders = order or {}
    guest = Guest(
        name="g",
        disks=tuple(SourceDisk(index=index, boot_order=orders.get(index)) for index in range(1, disks + 1)),
    )
    request = ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=guest,
        disks=(),
        settings=ConvertSettings(),
        report=FakeReporter(),
    )
    kinds = {"/dev/sda1": "ntfs", "/dev/sda2": "ntfs", "/dev/sdb1": "BitLocker"}
    made = Session(request=request, handle=handle, filesystems=kinds, firmware=Firmware.BIOS)
    made.found = Inspection(
        root="/dev/sda2", os_type=os_type, distro=os_type, arch="x86_64", mountpoints=(("/", "/dev/sda2"),)
    )
    return made


def said(session: Session) -> list[str]:
    assert isinstance(session.report, FakeReporter)
    return session.report.warnings


def test_a_windows_guest_in_order_has_no_blockers_and_its_fstab_is_not_looked_for() -> None:
    session, blockers = session_of(Handle()), Blockers()
    mounts.mount_guest(session, blockers, untouched=False)
    checks.check_guest(session, blockers, untouched=False)
    assert blockers.reasons == []
    # What it says of BitLocker is said before the mounting, and only there.
    assert said(session) == []


@pytest.mark.parametrize("untouched", [False, True])
def test_a_volume_of_windows_that_cannot_be_written(untouched: bool) -> None:
    session, blockers = session_of(Handle(read_only="touch: Read-only file system")), Blockers()
    checks.check_guest(session, blockers, untouched=untouched)
    if untouched:
        assert blockers.reasons == [], "the reason why is told already"
        return
    ((reason, hint),) = blockers.reasons
    assert "cannot be written: Read-only file system" in reason
    assert "chkdsk /f" in hint
    assert "shutdown /s /t 0" in hint


def test_space_on_the_volume_of_windows() -> None:
    session, blockers = session_of(Handle(free=99 * MIB)), Blockers()
    checks.check_guest(session, blockers, untouched=False)
    assert [reason for reason, _ in blockers.reasons] == [
        "/ in the guest has 99 MB of free space and 100 MB are needed"
    ]
    assert operating_system_of(session).space_needed("/efi", 100 * MIB) == 5 * MIB


@pytest.mark.parametrize("told", [False, True])
def test_a_volume_that_cannot_be_mounted_is_told_once(told: bool) -> None:
    session, blockers = session_of(Handle(unmountable="mount: /sysroot: wrong fs type")), Blockers()
    if told:
        blockers.add("the Windows volume /dev/sda2 cannot be written: it is damaged", "run chkdsk")
    with pytest.raises(ConversionError) as caught:
        mounts.mount_guest(session, blockers, untouched=told)
    ((reason, remedy),) = [(obstacle.reason, obstacle.remedy) for obstacle in caught.value.obstacles]
    assert ("is damaged" in reason) is told
    assert "chkdsk" in remedy


def test_a_device_is_named_whole() -> None:
    blockers = Blockers([("/dev/sda21 is damaged", "")])
    assert not blockers.name("/dev/sda2")
    assert blockers.name("/dev/sda21")


BOOTMGR = b"\xebR\x90NTFS    " + bytes(400) + b"BOOTMGR is missing"


@pytest.mark.parametrize(
    ("partitions", "code", "order", "disk"),
    [
        ({"/dev/sda1": ACTIVE, "/dev/sdb1": PLAIN}, {}, {}, 1),
        ({"/dev/sda1": PLAIN, "/dev/sdb1": ACTIVE}, {}, {}, 2),
        # Of two active partitions that counts which starts Windows.
        ({"/dev/sda1": ACTIVE, "/dev/sdb1": ACTIVE}, {"/dev/sdb1": BOOTMGR}, {}, 2),
        ({"/dev/sda1": ACTIVE, "/dev/sdb1": ACTIVE}, {"/dev/sdb1": "NTLDR".encode("utf-16-le")}, {}, 2),
        ({"/dev/sda1": ACTIVE, "/dev/sdb1": ACTIVE}, {"/dev/sda1": BOOTMGR, "/dev/sdb1": BOOTMGR}, {2: 1, 1: 2}, 2),
        # No partition is active, or the table cannot be read: the disk with Windows.
        ({"/dev/sda2": PLAIN, "/dev/sdb1": PLAIN}, {}, {}, 1),
        ({"/dev/sda2": ACTIVE, "/dev/sdb1": PLAIN}, {"/dev/sda": b"damaged"}, {}, 1),
    ],
)
def test_the_disk_that_a_bios_boots_windows_from(
    partitions: dict[str, bool], code: dict[str, bytes], order: dict[int, int], disk: int
) -> None:
    assert find_boot_disk(session_of(Handle(partitions, code=code), order=order)) == disk


def gpt(*types: bytes) -> bytes:
    header = b"EFI PART" + bytes(64) + struct.pack("<QIII", 2, 128, 128, 0)
    entries = b"".join(kind + b"\1" * 112 for kind in types)
    return bytes(512) + header.ljust(512, b"\0") + entries


@pytest.mark.parametrize(("order", "disk"), [({}, 2), ({3: 1, 2: 2}, 3)])
def test_the_disk_that_uefi_boots_windows_from(order: dict[int, int], disk: int) -> None:
    with_esp = gpt(ESP.bytes_le)
    code = {"/dev/sda": gpt(b"\2" * 16), "/dev/sdb": with_esp, "/dev/sdc": with_esp}
    partitions = {"/dev/sda2": PLAIN, "/dev/sdb1": PLAIN, "/dev/sdc1": PLAIN}
    session = session_of(Handle(partitions, code=code), disks=3, order=order)
    session.firmware = Firmware.UEFI
    assert find_boot_disk(session) == disk


def test_other_systems_are_refused() -> None:
    session = session_of(Handle(), os_type="freebsd")
    system = operating_system_of(session)
    assert type(system) is OperatingSystem
    with pytest.raises(ConversionError, match=r"guests of the type freebsd \(freebsd\) cannot be converted"):
        system.convert(Blockers())
