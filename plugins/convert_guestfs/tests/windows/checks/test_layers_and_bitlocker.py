# SPDX-License-Identifier: GPL-2.0-or-later
"""Dynamic disks, Storage Spaces and BitLocker: what keeps Windows from being converted, and what is only told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntfs_images import MIB, POOL, bitlocker, gpt, mbr
from v2v_convert_guestfs.filesystems.nothing_found import nothing_found
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.checks.before_mounting import check_volumes
from v2v_convert_guestfs.windows.checks.bitlocker import Protector, metadata_places, parse_metadata, read_bitlocker
from v2v_core.api import ConvertRequest, ConvertSettings, Guest, Inspection
from v2v_core.testing import FakeReporter

BASIC, POOLED, DYNAMIC = mbr(7, bytes(MIB)), gpt([bytes(MIB)], POOL), mbr(0x42, bytes(MIB))


class Disks:
    """A fake of the part of libguestfs that looks at disks, by their contents."""

    def __init__(self, **contents: bytes) -> None:
        self.contents = {f"/dev/{name}": content for name, content in contents.items()}
        self.kinds: dict[str, str] = {}

    def list_devices(self) -> list[str]:
        return [name for name in self.contents if not name[-1].isdigit()]

    def list_partitions(self) -> list[str]:
        return [name for name in self.contents if name[-1].isdigit()]

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return self.contents[device][offset : offset + count]

    def blockdev_getsize64(self, device: str) -> int:
        return len(self.contents[device])

    def vfs_type(self, device: str) -> str:
        return self.kinds.get(device, "")

    def mount_ro(self, device: str, place: str) -> None:
        raise RuntimeError("mount_ro: unknown filesystem type")

    mount_options = mount_ro

    def dmesg(self) -> str:
        return ""

    def umount_all(self) -> None: ...


def session(handle: Disks, root: str, **kinds: str) -> Session:
    request = ConvertRequest(
        directory=Path(),
        temporary=Path(),
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=FakeReporter(),
    )
    handle.kinds = {f"/dev/{name}": kind for name, kind in kinds.items()}
    made = Session(request=request, handle=handle, filesystems=dict(handle.kinds))
    made.found = Inspection(root=root, os_type="windows", distro="windows", arch="x86_64", mountpoints=(("/", root),))
    return made


def report(session: Session) -> FakeReporter:
    assert isinstance(session.report, FakeReporter)
    return session.report


def test_ordinary_disks_say_nothing() -> None:
    found, blockers = session(Disks(sda=BASIC, sdb=gpt([bytes(MIB)])), "/dev/sda1"), Blockers()
    assert not check_volumes(found, blockers)
    assert (blockers.reasons, report(found).warnings) == ([], [])


@pytest.mark.parametrize("root", ["/dev/mapper/ldm_vol_Disk-Dg0_Volume1", "/dev/sdb1", "/dev/sdb"])
def test_windows_on_a_dynamic_disk(root: str) -> None:
    found, blockers = session(Disks(sda=BASIC, sdb=DYNAMIC), root), Blockers()
    assert check_volumes(found, blockers)
    ((reason, remedy),) = blockers.reasons
    assert reason.startswith(f"Windows ({root}) is on a dynamic disk (LDM)")
    assert "basic disk" in remedy
    assert "SATA" in remedy
    assert report(found).warnings == []


def test_layers_of_data_disks_are_told() -> None:
    found, blockers = session(Disks(sda=BASIC, sdb=DYNAMIC, sdc=POOLED, sdd=DYNAMIC), "/dev/sda1"), Blockers()
    assert not check_volumes(found, blockers)
    dynamic, pool = report(found).warnings
    assert dynamic.startswith("dynamic disks (LDM) are copied as they are: /dev/sdb, /dev/sdd. ")
    assert pool.startswith("disks of a pool of Storage Spaces are copied as they are: /dev/sdc. ")


def test_a_pool_is_known_by_its_mark_as_well() -> None:
    """A disk that Windows has given to a pool whole has a partition of another type after an import."""
    found = session(Disks(sda=BASIC, sdb=BASIC, sdb1=b"SPACEDB ".ljust(MIB, b"\0")), "/dev/sda1")
    assert not check_volumes(found, Blockers())
    (warning,) = report(found).warnings
    assert "Storage Spaces are copied as they are: /dev/sdb." in warning


def test_layers_are_reasons_why_no_system_was_found() -> None:
    reason, hint = nothing_found(session(Disks(sda=DYNAMIC, sdb=POOLED), "/dev/sda1"))
    assert "/dev/sda: a dynamic disk of Windows (LDM)" in reason
    assert "/dev/sdb: a part of a pool of Storage Spaces, which the appliance cannot read" in reason
    assert "basic disk" in hint


@pytest.mark.parametrize(
    ("protections", "suspended", "with_tpm"),
    [
        ((Protector.TPM, Protector.RECOVERY_PASSWORD), False, True),
        ((Protector.TPM_AND_PIN, Protector.RECOVERY_PASSWORD), False, True),
        ((Protector.CLEAR_KEY, Protector.TPM, Protector.RECOVERY_PASSWORD), True, True),
        ((Protector.PASSWORD, Protector.RECOVERY_PASSWORD), False, False),
        ((Protector.STARTUP_KEY,), False, False),
        ((), False, False),
    ],
)
def test_protectors(protections: tuple[int, ...], suspended: bool, with_tpm: bool) -> None:
    found = read_bitlocker(session(Disks(sda2=bitlocker(*protections)), "/dev/sda2"), "/dev/sda2")
    assert found.protectors == set(protections)
    assert (found.suspended, found.with_tpm) == (suspended, with_tpm)


def test_a_damaged_copy_of_the_metadata_is_passed_over() -> None:
    volume = bytearray(bitlocker(Protector.TPM))
    first, *_ = metadata_places(bytes(volume))
    volume[first : first + 8] = bytes(8)
    found = read_bitlocker(session(Disks(sda2=bytes(volume)), "/dev/sda2"), "/dev/sda2")
    assert found.protectors == {Protector.TPM}


@given(st.binary(max_size=2000))
def test_any_metadata_is_understood_or_not(rest: bytes) -> None:
    found = parse_metadata(b"-FVE-FS-" + rest)
    assert found is None or all(0 <= number <= 65535 for number in found.protectors)


@pytest.mark.parametrize(
    ("protections", "expected"),
    [
        ((Protector.TPM, Protector.RECOVERY_PASSWORD), "/dev/sda2 is encrypted with BitLocker; "),
        (
            (Protector.CLEAR_KEY, Protector.TPM),
            "/dev/sda2 is encrypted with BitLocker, and suspended (its key lies",
        ),
    ],
)
def test_a_locked_system(protections: tuple[int, ...], expected: str) -> None:
    """See omacom/omarchy-iso#105: a suspended volume is still encrypted, and its users were told to suspend it."""
    handle = Disks(sda=BASIC, sda2=bitlocker(*protections), sda3=b"\0" * 512)
    reason, hint = nothing_found(session(handle, "/dev/sda2", sda2="BitLocker", sda3="crypto_LUKS"))
    assert expected in reason + "; "
    assert "these devices are encrypted: /dev/sda3" in reason
    assert "--key /dev/sda3:file:FILE" in hint
    assert "manage-bde -off" in hint
    assert "--key /dev/sda2:file:FILE, with the 48 digits and their hyphens in FILE" in hint
    assert ("manage-bde -protectors -enable" in hint) == (Protector.CLEAR_KEY in protections)


@pytest.mark.parametrize(
    ("protections", "warning", "info"),
    [
        ((Protector.TPM, Protector.RECOVERY_PASSWORD), "asks for the recovery password at its first start", ""),
        ((), "asks for the recovery password at its first start", ""),
        (
            (Protector.CLEAR_KEY, Protector.TPM),
            "",
            "BitLocker is suspended on /dev/sda2: Windows starts on KVM",
        ),
        ((Protector.PASSWORD,), "", "Windows asks for its key as before"),
    ],
)
def test_what_the_loss_of_the_tpm_means(protections: tuple[int, ...], warning: str, info: str) -> None:
    """See kubevirt/kubevirt#15701: after a restart with its TPM in another state, Windows asked for the password."""
    handle = Disks(sda=BASIC, sda2=bitlocker(*protections))
    found = session(handle, "/dev/mapper/cryptsda2", sda2="BitLocker")
    found.opened["/dev/sda2"] = "/dev/mapper/cryptsda2"
    assert not check_volumes(found, Blockers())
    assert [warning in text for text in report(found).warnings] == [True] * bool(warning)
    assert [info in text for text in report(found).infos] == [True] * bool(info)


def test_locked_data_is_only_told() -> None:
    found, blockers = (
        session(Disks(sda=BASIC, sdb1=bitlocker(Protector.TPM)), "/dev/sda2", sdb1="BitLocker"),
        Blockers(),
    )
    assert not check_volumes(found, blockers)
    (warning,) = report(found).warnings
    assert warning.startswith("/dev/sdb1 is encrypted with BitLocker and is copied as it is")
