# SPDX-License-Identifier: GPL-2.0-or-later
"""Partition tables, drive letters, disks that come online, and the hardware clock."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcd_hives import DATA, DISK, ESP, GPT_TWO, MBR_ONE, SIGNATURE, entry, store
from boot_guest import DATA_TYPE, ESP_TYPE, MIB, SimulatedDisk, boot_guest, gpt_disk, mbr_disk
from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import boot
from v2v_convert_guestfs.windows.boot import layout
from v2v_convert_guestfs.windows.boot.places import Place, as_volume, of_volume
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import binary, dword, qword, sz
from v2v_core.api import Verdict
from windows_guest import SimulatedGuest

Make = Callable[..., SimulatedGuest]
LETTER = "Windows's partition has the drive letter that Windows expects"
SOFTWARE = {r"Microsoft\Windows NT\CurrentVersion": {"SystemRoot": r"C:\Windows"}}
CDROM = r"\??\SCSI#CdRom&Ven_NECVMWar#5&290fd3ab".encode("utf-16-le")


@pytest.fixture
def lettered(bios: Make, tmp_path: Path) -> Make:
    """Return a function that makes a guest with these drive letters."""

    def make(**letters: Any) -> SimulatedGuest:
        guest = bios(store(tmp_path, entry(MBR_ONE)), software=SOFTWARE, system={"MountedDevices": {}})
        add_letters(guest, **letters)
        return guest

    return make


def add_letters(guest: SimulatedGuest, **letters: Any) -> None:
    """Add drive letters. Their names have backslashes, which the short notation takes for keys."""
    key = guest.registry.store.hives[HiveName.SYSTEM].make("MountedDevices")
    for letter, place in letters.items():
        name = rf"\DosDevices\{letter}:"
        data = as_volume(place) if isinstance(place, Place) else place
        key.values[name.lower()] = (name, data if not isinstance(data, bytes) else binary(data))


def test_the_value_of_a_real_windows_7() -> None:
    data = bytes.fromhex("3ea0be5c0000100000000000")
    assert of_volume(data) == Place(signature=SIGNATURE, offset=1048576)
    assert as_volume(Place(signature=SIGNATURE, offset=1048576)) == data


def test_the_value_of_a_real_windows_10() -> None:
    data = bytes.fromhex("444d494f3a49443a948d171e794fe941865d2e5b4328cd23")
    assert of_volume(data) == Place(guid=uuid.UUID("1e178d94-4f79-41e9-865d-2e5b4328cd23"))
    assert as_volume(Place(guid=uuid.UUID("1e178d94-4f79-41e9-865d-2e5b4328cd23"))) == data


def test_letters_that_resolve_stay(lettered: Make) -> None:
    guest = lettered(C=MBR_ONE, D=CDROM)
    plan = boot.examine(guest, Blockers())
    boot.change(guest, plan)
    assert plan.letters.devices == (("C", "/dev/sda1"),)
    assert guest.registry.edits == []
    assert guest.report.warnings == []
    assert next(fact.verdict for fact in boot.facts(guest) if fact.name == LETTER) is Verdict.PASSED


def test_letters_of_disks_that_are_not_given(lettered: Make) -> None:
    guest = lettered(C=MBR_ONE, E=Place(signature=0x1234, offset=65536), F=Place(guid=DATA))
    boot.change(guest, boot.examine(guest, Blockers()))
    assert len(guest.report.warnings) == 1
    assert "E: (MBR signature 0x00001234, offset 65536), F: (GPT partition {" in guest.report.warnings[0]
    assert guest.registry.edits == []


def test_the_letter_of_windows_itself_is_repaired(lettered: Make) -> None:
    guest = lettered(C=Place(signature=0x1234, offset=1048576))
    assert next(fact.verdict for fact in boot.facts(guest) if fact.name == LETTER) is Verdict.FAILED
    boot.change(guest, boot.examine(guest, Blockers()))
    (edit,) = guest.registry.edits
    assert (edit.key, edit.name, edit.value) == ("MountedDevices", r"\DosDevices\C:", binary(as_volume(MBR_ONE)))
    assert "the drive letter C: of Windows named a partition that no disk has" in guest.report.warnings[0]


def test_the_letter_of_windows_stays_where_windows_has_another_one(lettered: Make) -> None:
    guest = lettered(C=Place(signature=0x1234, offset=1048576), D=MBR_ONE)
    boot.change(guest, boot.examine(guest, Blockers()))
    assert guest.registry.edits == []


@pytest.mark.parametrize("value", [b"", b"\0", bytes(11), b"DMIO:ID:", sz("x"), dword(1)])
def test_letters_of_wrong_types_are_left_alone(lettered: Make, value: Any) -> None:
    guest = lettered(C=MBR_ONE, E=value)
    boot.examine(guest, Blockers())
    assert guest.report.warnings == []


def test_letters_on_a_gpt(uefi: Make, tmp_path: Path) -> None:
    guest = uefi({}, system={"MountedDevices": {}})
    add_letters(guest, C=Place(guid=DATA), D=CDROM)
    assert boot.examine(guest, Blockers()).letters.devices == (("C", "/dev/sda2"),)


def two_disks(tmp_path: Path, first: SimulatedDisk, second: SimulatedDisk, **more: Any) -> SimulatedGuest:
    files = {"/Windows/System32/winload.exe": b"", "/Boot/BCD": store(tmp_path, entry(MBR_ONE))}
    return boot_guest(tmp_path, [first, second], {"/dev/sda1": files, "/dev/sdb1": {}}, **more)


def test_several_disks_come_online(tmp_path: Path) -> None:
    disks = mbr_disk(SIGNATURE, (2048, 99999, True)), mbr_disk(8, (2048, 99999, False))
    system = {"ControlSet001": {r"Services\partmgr\Parameters": {"SanPolicy": 1}}}
    guest = two_disks(tmp_path, *disks, system=system, default="ControlSet002")
    online = "Windows brings the guest's other disks online"
    assert next(fact.verdict for fact in boot.facts(guest) if fact.name == online) is Verdict.FAILED
    boot.change(guest, boot.examine(guest, Blockers()))
    edits = [(edit.key, edit.name, edit.value) for edit in guest.registry.edits]
    assert edits == [(r"ControlSet002\Services\partmgr\Parameters", "SanPolicy", dword(1))]
    guest.registry.commit()
    assert next(fact.verdict for fact in boot.facts(guest) if fact.name == online) is Verdict.PASSED


def test_windows_xp_has_no_such_policy(tmp_path: Path) -> None:
    disks = mbr_disk(SIGNATURE, (2048, 99999, True)), mbr_disk(8, (2048, 99999, False))
    guest = two_disks(tmp_path, *disks, version=(5, 2))
    boot.change(guest, boot.examine(guest, Blockers()))
    assert guest.registry.edits == []


def test_one_disk_needs_no_policy(lettered: Make) -> None:
    guest = lettered(C=MBR_ONE)
    boot.change(guest, boot.examine(guest, Blockers()))
    assert guest.registry.edits == []


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (SIGNATURE, ["disks 1, 2 have the same signature 0x5cbea03e: Windows takes all but one of them offline"]),
        (0, ["disk 2 has no signature in its MBR"]),
        (7, []),
    ],
)
def test_signatures_of_disks(tmp_path: Path, second: int, told: list[str]) -> None:
    disks = mbr_disk(SIGNATURE, (2048, 99999, True)), mbr_disk(second, (2048, 99999, False))
    guest = two_disks(tmp_path, *disks)
    boot.examine(guest, Blockers())
    assert len(guest.report.warnings) == len(told)
    assert all(text in warning for text, warning in zip(told, guest.report.warnings, strict=True))


def test_firmware_that_does_not_fit_the_disk(tmp_path: Path) -> None:
    gpt = gpt_disk(DISK, (2048, 206847, ESP_TYPE, ESP), (206848, 999999, DATA_TYPE, DATA))
    guest = boot_guest(tmp_path, [gpt], {"/dev/sda2": {}}, root="/dev/sda2")
    boot.examine(guest, Blockers())
    assert "the guest gets a BIOS, and its Windows is on disk 1, which has a GPT" in guest.report.warnings[0]
    mbr = mbr_disk(SIGNATURE, (2048, 99999, True))
    guest = boot_guest(tmp_path, [mbr], {"/dev/sda1": {}}, uefi=True)
    boot.examine(guest, Blockers())
    assert "the guest gets UEFI, and its Windows is on disk 1, which has an MBR" in guest.report.warnings[0]
    assert "its disks have no EFI system partition" in guest.report.warnings[1]


def test_the_boot_configuration_may_be_on_another_disk(tmp_path: Path) -> None:
    disks = mbr_disk(9, (2048, 99999, False)), mbr_disk(SIGNATURE, (2048, 99999, True))
    boot_files = {"/Boot/BCD": store(tmp_path, entry(Place(signature=9, offset=1048576)))}
    own = {"/Windows/System32/winload.exe": b""}
    guest = boot_guest(tmp_path, list(disks), {"/dev/sda1": own, "/dev/sdb1": boot_files})
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.partition.device == "/dev/sdb1"
    assert guest.report.warnings == []


def test_an_encrypted_windows_is_on_the_outer_partition(bios: Make, tmp_path: Path) -> None:
    place = Place(signature=SIGNATURE, offset=206848 * 512)
    guest = bios(store(tmp_path, entry(place)), apart=True, software=SOFTWARE, system={"MountedDevices": {}})
    add_letters(guest, C=place)
    inner = "/dev/mapper/cryptsda2"
    guest.session.opened["/dev/sda2"] = inner
    guest.session.found = guest.session.inspection.__class__(
        root=inner, os_type="windows", distro="windows", arch="x86_64"
    )
    guest.session.handle.mounted = {inner: "/"}
    boot.examine(guest, Blockers())
    assert guest.report.warnings == []
    assert {fact.verdict for fact in boot.facts(guest)} == {Verdict.PASSED}


def test_logical_partitions() -> None:
    def table(*entries: tuple[int, int, int]) -> bytes:
        body = b"".join(struct.pack("<B3xB3xII", 0, kind, start, count) for kind, start, count in entries)
        return bytes(446) + body.ljust(64, b"\0") + b"\x55\xaa"

    disk = SimulatedDisk(
        8192 * MIB,
        {
            0: table((7, 2048, 1000), (0x0F, 10000, 90000)),
            10000 * 512: table((7, 63, 5000), (5, 20000, 9000)),
            30000 * 512: table((7, 63, 6000), (5, 0, 9000)),
        },
    )
    found = layout.parse(disk.read, 1, "/dev/sda")
    assert [(each.device, each.start // 512, each.logical) for each in found.partitions] == [
        ("/dev/sda1", 2048, False),
        ("/dev/sda5", 10063, True),
        ("/dev/sda6", 30063, True),
    ]


def test_a_gpt_on_sectors_of_4096_bytes() -> None:
    disk = gpt_disk(DISK, (256, 25855, ESP_TYPE, ESP), (25856, 99999, DATA_TYPE, DATA), sector=4096)
    found = layout.parse(disk.read, 1, "/dev/nvme0n1", sector=4096)
    assert found.guid == DISK
    assert [(each.device, each.start, each.guid, each.esp) for each in found.partitions] == [
        ("/dev/nvme0n1p1", 256 * 4096, ESP, True),
        ("/dev/nvme0n1p2", 25856 * 4096, GPT_TWO.guid, False),
    ]


@given(st.binary(min_size=0, max_size=600), st.binary(max_size=300))
def test_any_bytes_are_some_table(first: bytes, second: bytes) -> None:
    sector = (first.ljust(446, b"\xee") + second)[:510].ljust(510, b"\x05") + b"\x55\xaa"
    disk = SimulatedDisk(MIB, {0: sector, 512: (b"EFI PART" + second)[:512], 1024: first})
    layout.parse(disk.read, 1, "/dev/sda")


@pytest.mark.parametrize(
    ("value", "utc", "warnings"),
    [
        (None, False, 0),
        (dword(1), True, 0),
        (dword(0), False, 0),
        (qword(1), True, 0),
        (binary(b""), True, 1),
        (sz("1"), True, 1),
    ],
)
def test_the_hardware_clock(bios: Make, tmp_path: Path, value: Any, utc: bool, warnings: int) -> None:
    zone = {"RealTimeIsUniversal": value} if value is not None else {}
    system = {"ControlSet001": {r"Control\TimeZoneInformation": zone}}
    guest = bios(store(tmp_path, entry(MBR_ONE)), system=system)
    assert boot.examine(guest, Blockers()).rtc_utc is utc
    assert len(guest.report.warnings) == warnings
