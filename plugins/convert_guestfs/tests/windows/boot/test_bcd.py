# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot configuration of Windows: what is found, repaired and told."""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcd_hives import (
    BOOT,
    DATA,
    DEFAULT,
    DISK,
    ESP,
    GPT_TWO,
    MBR_ONE,
    MBR_TWO,
    ON,
    entry,
    inheriting,
    store,
)
from boot_guest import DATA_TYPE, ESP_TYPE, boot_guest, checksummed, gpt_disk, make_hive
from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import boot
from v2v_convert_guestfs.windows.boot.places import DeviceKind, Place, as_element, of_element
from v2v_convert_guestfs.windows.boot.store import State
from v2v_convert_guestfs.windows.registry.values import binary, multi_sz, sz
from v2v_core.api import ConversionError, Verdict
from windows_guest import SimulatedGuest

Make = Callable[..., SimulatedGuest]
NOWHERE = Place(signature=0xDEADBEEF, offset=1048576)
EFI = r"\Windows\system32\winload.efi"


def facts_of(guest: SimulatedGuest) -> dict[str, tuple[Verdict, str]]:
    return {fact.name: (fact.verdict, fact.detail) for fact in boot.facts(guest)}


ENTRY = "the default boot entry names a loader that exists"


def test_elements_of_real_configurations() -> None:
    # of a Windows 7 with a BIOS, and of a Windows 10 with UEFI
    mbr = bytes.fromhex(
        "00000000000000000000000000000000 06000000 00000000 48000000 00000000 0000500600000000 0000000000000000"
        "00000000 01000000 1cc0968f 000000000000000000000000 00000000000000000000000000000000"
    )
    gpt = bytes.fromhex(
        "00000000000000000000000000000000 06000000 00000000 48000000 00000000 382c0f8eeae4ba47b7fc9d8c74dccf0b"
        "00000000 00000000 a994230b5e097d488d48719ecd4d78ca 00000000000000000000000000000000"
    )
    place = Place(signature=0x8F96C01C, offset=0x06500000)
    assert of_element(mbr).place == place
    assert as_element(place) == mbr
    found = of_element(gpt).place
    assert found == Place(
        guid=uuid.UUID("8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b"),
        disk_guid=uuid.UUID("0b2394a9-095e-487d-8d48-719ecd4d78ca"),
    )
    assert found is not None
    assert as_element(found) == gpt
    assert of_element(BOOT).kind is DeviceKind.BOOT


@given(st.binary(max_size=120))
def test_any_bytes_are_some_device(data: bytes) -> None:
    assert of_element(data).kind in DeviceKind
    assert of_element(bytes(16) + b"\x06\0\0\0" + data).kind in DeviceKind


def test_a_whole_configuration_is_left_alone(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(MBR_ONE)))
    before = dict(guest.session.handle.files)
    plan = boot.examine(guest, Blockers())
    boot.change(guest, plan)
    assert guest.report.warnings == []
    assert guest.session.handle.files == before
    assert guest.session.changes == []
    assert facts_of(guest)[ENTRY] == (Verdict.PASSED, r"/dev/sda1:\Windows\system32\winload.exe")


def test_the_system_partition_is_another_one(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(MBR_TWO)), apart=True)
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert (plan.found.partition.device, plan.found.shown) == ("/dev/sda1", "/dev/sda1:/Boot/BCD")
    assert guest.report.warnings == []
    assert guest.session.handle.mountpoints() == {"/dev/sda2": "/"}
    assert facts_of(guest)[ENTRY] == (Verdict.PASSED, r"/dev/sda2:\Windows\system32\winload.exe")


def test_a_device_named_boot_is_the_partition_of_the_boot_manager(bios: Make, tmp_path: Path) -> None:
    assert facts_of(bios(store(tmp_path, entry(None))))[ENTRY][0] is Verdict.PASSED
    # behind a system partition, there is no loader
    apart = facts_of(bios(store(tmp_path, entry(None)), apart=True))[ENTRY]
    assert apart[0] is Verdict.FAILED
    assert r"\Windows\system32\winload.exe, which is not on /dev/sda1" in apart[1]


def test_an_entry_to_nowhere_gets_windows_partition(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(NOWHERE)), apart=True)
    assert facts_of(guest)[ENTRY][0] is Verdict.FAILED
    plan = boot.examine(guest, Blockers())
    assert guest.session.changes == []
    boot.change(guest, plan)
    assert facts_of(guest)[ENTRY][0] is Verdict.PASSED
    assert "looks for the loader on MBR signature 0xdeadbeef, offset 1048576" in guest.report.warnings[0]
    assert "It is changed to /dev/sda2" in guest.report.warnings[0]
    assert [change.path for change in guest.session.changes] == ["/dev/sda1:/Boot/BCD"] * 2
    again = boot.examine(guest, Blockers())
    assert again.found is not None
    assert again.found.entry is not None
    assert again.found.entry.device == again.found.entry.os_device == of_element(as_element(MBR_TWO))
    assert again.bcd_edits == ()


@pytest.mark.parametrize("reason", ["another directory", "no loader", "another entry"])
def test_an_entry_to_nowhere_that_may_be_another_windows_is_not_changed(
    bios: Make, tmp_path: Path, reason: str
) -> None:
    lost = entry(NOWHERE)
    if reason == "another directory":
        lost = entry(NOWHERE, e22000002=sz(r"\WINNT"))
    if reason == "no loader":
        lost = entry(NOWHERE, path=r"\Windows\system32\gone.exe")
    others = {"other": entry(MBR_ONE)} if reason == "another entry" else {}
    guest = bios(store(tmp_path, lost, **others))
    plan = boot.examine(guest, Blockers())
    assert plan.bcd_edits == ()
    assert "looks for the loader on MBR signature 0xdeadbeef" in guest.report.warnings[0]
    assert "bcdboot" in guest.report.warnings[0]
    assert facts_of(guest)[ENTRY][0] is Verdict.FAILED


def test_a_loader_that_is_gone(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(MBR_ONE, path=r"\Windows\system32\gone.exe")))
    boot.examine(guest, Blockers())
    assert r"starts \Windows\system32\gone.exe, which is not on /dev/sda1" in guest.report.warnings[0]
    assert facts_of(guest)[ENTRY][0] is Verdict.FAILED


def test_a_failing_write_leaves_the_configuration_as_it_was(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(NOWHERE)), apart=True)
    before = dict(guest.session.handle.volumes["/dev/sda1"])
    plan = boot.examine(guest, Blockers())
    guest.session.handle.failing["commit"] = "Input/output error"
    with pytest.raises(ConversionError, match=r"/dev/sda1:/Boot/BCD cannot be written: .*Input/output error"):
        boot.change(guest, plan)
    assert guest.session.handle.volumes["/dev/sda1"] == before
    assert guest.session.handle.mountpoints() == {"/dev/sda2": "/"}


def test_the_default_is_the_first_of_the_list_where_none_is_named(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(MBR_ONE), manager={"23000003": sz("")}))
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.entry is not None
    assert plan.found.entry.guid == DEFAULT


def test_settings_of_the_default_entry(bios: Make, tmp_path: Path) -> None:
    settings_ = {"e25000080": bytes(8), "e160000a0": ON, "e16000049": ON}
    once = {"24000002": multi_sz(DEFAULT)}
    guest = bios(store(tmp_path, entry(MBR_ONE, **settings_), manager=once), secure_boot=True)
    plan = boot.examine(guest, Blockers())
    told = "\n".join(guest.report.warnings)
    for word in ("safe mode", "debugging", "bootsequence", "testsigning on, which secure boot does not allow"):
        assert word in told
    assert plan.test_signing
    assert not plan.no_integrity_checks
    assert guest.report.infos == []
    nested = bios(store(tmp_path, entry(MBR_ONE, e250000f0=b"\1" + bytes(7))))
    boot.examine(nested, Blockers())
    assert "Hyper-V starts before the guest's Windows" in nested.report.infos[0]
    quiet = bios(store(tmp_path, entry(MBR_ONE, e160000a0=b"\0", e16000049=b"\0", e16000048=ON)))
    assert boot.examine(quiet, Blockers()).no_integrity_checks
    assert quiet.report.warnings == []


def test_settings_are_inherited(bios: Make, tmp_path: Path) -> None:
    guest = bios(inheriting(tmp_path, {"16000049": binary(ON)}))
    assert boot.examine(guest, Blockers()).test_signing
    # an object that inherits from itself
    assert not boot.examine(bios(inheriting(tmp_path, {"14000006": multi_sz(DEFAULT)})), Blockers()).test_signing


def test_the_default_entry_starts_another_windows(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, entry(MBR_ONE)), apart=True)
    guest.session.handle.volumes["/dev/sda1"]["/Windows/system32/winload.exe"] = b"x"
    boot.examine(guest, Blockers())
    assert "starts the Windows on /dev/sda1, not the one on /dev/sda2" in guest.report.warnings[0]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"regf",
        b"regf" + bytes(600),
        b"x" * 5000,
        "no manager",
        "no objects",
        "truncated",
        "oversized",
        "wrong types",
    ],
)
def test_a_damaged_configuration_is_a_warning(bios: Make, tmp_path: Path, damage: bytes | str) -> None:
    whole = store(tmp_path, entry(MBR_ONE))
    made = {
        "no manager": make_hive(tmp_path, {"Objects": {}}),
        "no objects": make_hive(tmp_path, {}),
        "truncated": whole[:5000],
        "oversized": whole + bytes(5 * 1024 * 1024),
        "wrong types": make_hive(tmp_path, {"Objects": {"{9dea862c-5cdd-4e70-acc1-f32b344d4795}": sz("x")}}),
    }
    guest = bios(made[damage] if isinstance(damage, str) else damage)
    plan = boot.examine(guest, Blockers())
    boot.change(guest, plan)
    assert len(guest.report.warnings) == 1
    assert "the boot configuration of Windows, /dev/sda1:/Boot/BCD, is damaged" in guest.report.warnings[0]
    assert "bcdboot C:\\Windows /s LETTER: /f BIOS" in guest.report.warnings[0]
    assert facts_of(guest)[ENTRY][0] is Verdict.UNKNOWN


@pytest.mark.parametrize("count", [1, 4096])
def test_a_configuration_with_bytes_behind_its_end_is_left_alone(bios: Make, tmp_path: Path, count: int) -> None:
    guest = bios(store(tmp_path, entry(NOWHERE)) + bytes(count))
    before = dict(guest.session.handle.files)
    boot.change(guest, boot.examine(guest, Blockers()))
    assert len(guest.report.warnings) == 1
    assert guest.session.handle.files == before
    assert facts_of(guest)[ENTRY][0] is Verdict.UNKNOWN


def test_elements_of_wrong_types_count_as_missing(bios: Make, tmp_path: Path) -> None:
    wrong = entry(MBR_ONE, e11000001=sz("C:"), e12000002=binary(b"\x01"), e14000006=sz("x"), e22000002=b"")
    guest = bios(store(tmp_path, wrong, manager={"24000001": binary(b"\xff\xff\x00")}))
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.unknown
    assert facts_of(guest)[ENTRY][0] is Verdict.UNKNOWN


def test_a_default_that_is_not_there(bios: Make, tmp_path: Path) -> None:
    guest = bios(store(tmp_path, None))
    boot.examine(guest, Blockers())
    assert "it has no default entry that starts a Windows" in guest.report.warnings[0]
    assert facts_of(guest)[ENTRY][0] is Verdict.FAILED


def test_a_missing_configuration_is_a_warning(bios: Make) -> None:
    guest = bios(None)
    plan = boot.examine(guest, Blockers())
    boot.change(guest, plan)
    assert plan.found is None
    assert (
        "there is no boot configuration (BCD) of Windows on /dev/sda1. Windows does not start"
        in guest.report.warnings[0]
    )
    assert facts_of(guest)[ENTRY][0] is Verdict.UNKNOWN


def test_a_dirty_configuration_is_read_and_not_written(bios: Make, tmp_path: Path) -> None:
    dirty = bytearray(store(tmp_path, entry(NOWHERE)))
    struct.pack_into("<I", dirty, 4, 77)
    guest = bios(checksummed(bytes(dirty)))
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.store.state is State.DIRTY
    assert plan.bcd_edits == ()
    assert "has edits that are only in its log" in guest.report.warnings[0]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 12287), st.integers(0, 255)), min_size=1, max_size=12))
def test_damaged_bytes_are_never_a_crash(bios: Make, tmp_path: Path, changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(store(tmp_path, entry(NOWHERE, e14000006=multi_sz(DEFAULT))))
    for offset, byte in changes:
        damaged[offset % len(damaged)] = byte
    guest = bios(checksummed(bytes(damaged)), apart=True)
    plan = boot.examine(guest, Blockers())
    try:
        boot.change(guest, plan)
    except ConversionError:
        assert guest.session.handle.volumes["/dev/sda1"]["/Boot/BCD"] == checksummed(bytes(damaged))
    boot.facts(guest)
    assert guest.session.handle.mountpoints() == {"/dev/sda2": "/"}


@pytest.mark.parametrize("capitals", ["/EFI/Microsoft/Boot/", "/efi/MICROSOFT/boot/"])
def test_uefi_graphics_mode_is_enabled(uefi: Make, tmp_path: Path, capitals: str) -> None:
    bcd = store(tmp_path, entry(GPT_TWO, path=EFI, e16000046=ON))
    guest = uefi({f"{capitals}BCD": bcd, f"{capitals}bootmgfw.efi": b"MZ"})
    plan = boot.examine(guest, Blockers())
    boot.change(guest, plan)
    again = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.entry is not None
    assert plan.found.entry.graphics_disabled
    assert again.found is not None
    assert again.found.entry == replace(plan.found.entry, graphics_disabled=False)
    assert facts_of(guest)[ENTRY] == (Verdict.PASSED, rf"/dev/sda2:{EFI}")


def _real() -> Path:
    return Path(os.environ.get("V2V_TEST_HIVES") or Path(__file__).parents[6] / "shared" / "windows") / "BCD"


@pytest.mark.skipif(not _real().exists(), reason="needs the BCD of regipy's test data in V2V_TEST_HIVES")
def test_a_real_configuration_of_windows_10(tmp_path: Path) -> None:
    """Its disk is made from the GUIDs that it names."""
    guids = [
        uuid.UUID(f"{text}")
        for text in ("0b2394a9-095e-487d-8d48-719ecd4d78ca", "8e0f2c38-e4ea-47ba-b7fc-9d8c74dccf0b")
    ]
    disk = gpt_disk(guids[0], (2048, 206847, ESP_TYPE, DISK), (206848, 8000000, DATA_TYPE, guids[1]))
    esp = {"/EFI/Microsoft/Boot/BCD": _real().read_bytes(), "/EFI/Microsoft/Boot/bootmgfw.efi": b"MZ"}
    own = {"/Windows/System32/winload.efi": b"MZ"}
    volumes = {"/dev/sda1": esp, "/dev/sda2": own}
    guest = boot_guest(tmp_path, [disk], volumes, root="/dev/sda2", uefi=True)
    plan = boot.examine(guest, Blockers())
    assert plan.found is not None
    assert plan.found.entry is not None
    assert (plan.found.entry.description, plan.found.entry.path) == ("Windows 10", EFI)
    assert facts_of(guest)[ENTRY] == (Verdict.PASSED, rf"/dev/sda2:{EFI}")
    # restored to a disk with other GUIDs
    other = gpt_disk(DISK, (2048, 206847, ESP_TYPE, ESP), (206848, 8000000, DATA_TYPE, DATA))
    moved = boot_guest(tmp_path, [other], volumes, root="/dev/sda2", uefi=True)
    assert facts_of(moved)[ENTRY][0] is Verdict.FAILED
    boot.change(moved, boot.examine(moved, Blockers()))
    assert facts_of(moved)[ENTRY] == (Verdict.PASSED, rf"/dev/sda2:{EFI}")
