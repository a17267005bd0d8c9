# SPDX-License-Identifier: GPL-2.0-or-later
"""The loaders that the firmware starts: with UEFI, and those of Windows XP and 2003."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bcd_hives import GPT_TWO, SIGNATURE, entry, store
from boot_guest import MIB, boot_guest, mbr_disk
from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows import boot
from v2v_core.api import ConversionError, Verdict
from windows_guest import SimulatedGuest

Make = Callable[..., SimulatedGuest]
#: A boot manager has its name in its version resource.
NEW, OLD = (b"MZ" + "bootmgr.exe".encode("utf-16-le") + age for age in (b"new", b"old"))
GRUB = b"MZ GRUB"
MICROSOFT, FALLBACK = "/EFI/Microsoft/Boot/", "/EFI/BOOT/BOOTX64.EFI"
LOADER = r"the fallback loader in \EFI\BOOT is Windows's boot manager"
MENU = "the default of boot.ini names Windows's partition"


@pytest.fixture
def with_esp(uefi: Make, tmp_path: Path) -> Make:
    bcd = store(tmp_path, entry(GPT_TWO, path=r"\Windows\system32\winload.efi"))

    def make(files: Mapping[str, bytes]) -> SimulatedGuest:
        return uefi({f"{MICROSOFT}BCD": bcd, f"{MICROSOFT}bootmgfw.efi": NEW, **files})

    return make


def convert(guest: SimulatedGuest) -> dict[str, bytes]:
    """Convert a guest and return the files of its first partition."""
    boot.change(guest, boot.examine(guest, Blockers()))
    return dict(guest.session.handle.volumes["/dev/sda1"])


def fact(guest: SimulatedGuest, name: str) -> Verdict:
    return next(fact.verdict for fact in boot.facts(guest) if fact.name == name)


def test_a_missing_fallback_loader_is_copied(with_esp: Make) -> None:
    guest = with_esp({"/EFI/ubuntu/grubx64.efi": GRUB})
    assert fact(guest, LOADER) is Verdict.FAILED
    assert convert(guest)[FALLBACK] == NEW
    assert guest.report.warnings == []
    assert fact(guest, LOADER) is Verdict.PASSED


def test_an_older_one_of_windows_is_replaced_and_others_stay(with_esp: Make) -> None:
    guest = with_esp({"/EFI/Boot/bootx64.efi": OLD, "/EFI/Boot/fbx64.efi": b"other"})
    files = convert(guest)
    assert files["/EFI/Boot/bootx64.efi"] == NEW
    assert files["/EFI/Boot/fbx64.efi"] == b"other"
    assert len(files) == 4


def test_the_same_one_is_left_alone(with_esp: Make) -> None:
    guest = with_esp({FALLBACK: NEW})
    convert(guest)
    assert guest.session.changes == []


def test_the_menu_of_another_system_stays(with_esp: Make) -> None:
    guest = with_esp({FALLBACK: GRUB, "/EFI/ubuntu/grubx64.efi": GRUB})
    assert convert(guest)[FALLBACK] == GRUB
    assert "/dev/sda1:/EFI/BOOT/BOOTX64.EFI, is that of another system, and stays" in guest.report.warnings[0]
    assert fact(guest, LOADER) is Verdict.UNKNOWN


def test_a_strange_one_without_another_system_is_kept_beside(with_esp: Make) -> None:
    files = convert(with_esp({FALLBACK: GRUB}))
    assert (files[FALLBACK], files[f"{FALLBACK}.before-v2v"]) == (NEW, GRUB)


def test_a_full_partition_fails_the_conversion(with_esp: Make) -> None:
    guest = with_esp({})
    guest.session.handle.failing["cp"] = "No space left on device"
    with pytest.raises(ConversionError, match=r"BOOTX64.EFI cannot be written: No space left"):
        convert(guest)
    assert guest.session.handle.mountpoints() == {"/dev/sda2": "/"}


def test_other_architectures_have_other_names(uefi: Make) -> None:
    assert "/EFI/BOOT/BOOTIA32.EFI" in convert(uefi({f"{MICROSOFT}bootmgfw.efi": NEW}, arch="i386"))
    assert "/EFI/BOOT/BOOTAA64.EFI" in convert(uefi({f"{MICROSOFT}bootmgfw.efi": NEW}, arch="aarch64"))


def test_without_a_boot_manager(uefi: Make) -> None:
    guest = uefi({})
    convert(guest)
    told = "\n".join(guest.report.warnings)
    assert "there is no boot configuration (BCD) of Windows on /dev/sda1" in told
    assert "bootmgfw.efi of Windows is not on /dev/sda1" in told
    assert "bcdboot C:\\Windows /s LETTER: /f UEFI" in told


@pytest.fixture
def xp(tmp_path: Path) -> Make:
    """Return a function that makes a Windows XP with this default in boot.ini."""

    def make(default: str, *, size: int = 8192 * MIB, heads: int = 0xFF, ini: bytes | None = None) -> SimulatedGuest:
        menu = f'[boot loader]\r\ntimeout=30\r\ndefault={default}\r\n[operating systems]\r\n{default}="Windows"\r\n'
        files = {"/boot.ini": menu.encode() if ini is None else ini, "/NTLDR": b"x", "/ntdetect.com": b"x"}
        disks = [mbr_disk(7, (63, 100000, False)), mbr_disk(SIGNATURE, (63, 4000000, True), size=size)]
        volumes = {"/dev/sdb1": files, "/dev/sda1": {}}
        guest = boot_guest(
            tmp_path, disks, volumes, root="/dev/sdb1", boot_orders={2: 1}, version=(5, 1), systemroot="/WINDOWS"
        )
        guest.session.handle.directories.add("/WINDOWS/System32/config/systemprofile")
        sector = b"\xeb\x52\x90NTFS    ".ljust(0x1A, b"\0") + struct.pack("<H", heads)
        guest.session.handle.sectors["/dev/sdb1"] = sector.ljust(512, b"\0")
        return guest

    return make


def test_boot_ini_counts_in_the_order_of_the_bios(xp: Make) -> None:
    guest = xp(r"multi(0)disk(0)rdisk(0)partition(1)\WINDOWS")
    plan = boot.examine(guest, Blockers())
    assert guest.report.warnings == []
    assert plan.ntfs_heads == ()
    assert fact(guest, MENU) is Verdict.PASSED


@pytest.mark.parametrize(
    ("default", "told"),
    [
        (r"multi(0)disk(0)rdisk(1)partition(1)\WINDOWS", "is /dev/sda1, Windows is on /dev/sdb1"),
        (r"multi(0)disk(0)rdisk(9)partition(1)\WINDOWS", "is no partition of the guest"),
        (r"multi(0)disk(0)rdisk(0)partition(0)\WINDOWS", "is no partition of the guest"),
        (r"multi(0)disk(0)rdisk(0)partition(1)\WINNT", r"starts \WINNT, Windows is in \WINDOWS"),
        (r"scsi(0)disk(0)rdisk(0)partition(1)\WINDOWS", "ntbootdd.sys"),
        (r"signature(5cbea03e)disk(0)rdisk(0)partition(1)\WINDOWS", "ntbootdd.sys"),
        (r"C:\grldr", "names no partition"),
        ("", "which names no partition"),
    ],
)
def test_boot_ini_that_does_not_lead_to_windows(xp: Make, default: str, told: str) -> None:
    guest = xp(default)
    boot.examine(guest, Blockers())
    assert told in guest.report.warnings[0]
    assert r"set the default of boot.ini to multi(0)disk(0)rdisk(0)partition(1)\WINDOWS" in guest.report.warnings[0]
    assert fact(guest, MENU) is Verdict.FAILED


def test_a_boot_ini_without_a_default_starts_its_first_system(xp: Make) -> None:
    first = rb"[Operating Systems]" + b"\n" + rb"multi(0)disk(0)rdisk(0)partition(1)\WINDOWS=" + b'"\xff"\n'
    assert fact(xp("", ini=first), MENU) is Verdict.PASSED


def test_a_missing_loader_of_windows_xp(xp: Make) -> None:
    guest = xp(r"multi(0)disk(0)rdisk(0)partition(1)\WINDOWS")
    del guest.session.handle.files["/NTLDR"]
    boot.examine(guest, Blockers())
    assert "ntldr of Windows's loader are not on /dev/sdb1" in guest.report.warnings[0]


@pytest.mark.parametrize(("size", "heads"), [(2000 * MIB, 0x40), (4000 * MIB, 0x80), (8192 * MIB, 0xFF)])
def test_heads_by_the_size_of_the_disk(xp: Make, size: int, heads: int) -> None:
    guest = xp(r"multi(0)disk(0)rdisk(0)partition(1)\WINDOWS", size=size, heads=16)
    boot.change(guest, boot.examine(guest, Blockers()))
    assert guest.session.handle.written == {("/dev/sdb1", 0x1A): struct.pack("<H", heads)}
    right = xp(r"multi(0)disk(0)rdisk(0)partition(1)\WINDOWS", size=size, heads=heads)
    assert boot.examine(right, Blockers()).ntfs_heads == ()
