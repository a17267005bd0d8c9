# SPDX-License-Identifier: GPL-2.0-or-later
"""A Windows guest on a real NTFS: its hives are read, edited and damaged, and its files get access rights."""

from __future__ import annotations

import random
import re
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from boot_guest import make_hive
from v2v_convert_guestfs.appliance import Appliance, Handle
from v2v_convert_guestfs.mounts import mount_guest
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.access_rights import other_writers
from v2v_convert_guestfs.windows.examine.expected import Expected
from v2v_convert_guestfs.windows.examine.result import examine_result
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.look import look
from v2v_convert_guestfs.windows.registry.hives import HiveName
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, Value, binary, dword, expand_sz, multi_sz, sz
from v2v_core.api import (
    ConversionError,
    ConvertRequest,
    ConvertSettings,
    DiskEndpoint,
    Guest,
    Inspection,
    SourceDisk,
    Verdict,
)
from v2v_core.testing import FakeReporter

pytestmark = pytest.mark.slow

SYSTEM, SOFTWARE = HiveName.SYSTEM, HiveName.SOFTWARE
CONFIG = "/Windows/System32/config"
SERVICES = r"ControlSet001\Services"
LSI: dict[str, Any] = {
    "Start": dword(0),
    "Type": dword(1),
    "Group": sz("SCSI miniport"),
    "ImagePath": expand_sz(r"\SystemRoot\system32\drivers\lsi_sas.sys"),
    "Tag": dword(64),
    "Parameters": {"PnpInterface": {"5": dword(1)}},
}
SYSTEM_HIVE: dict[str, Any] = {
    "Select": {"Current": dword(1), "Default": dword(1)},
    "ControlSet001": {
        "Control": {
            "ProductOptions": {"ProductType": sz("WinNT")},
            "Session Manager": {"Long": binary(bytes(LONGEST_VALUE)), "Other": dword(1)},
        },
        "Services": {"LSI_SAS": LSI, **{f"Service{number:03}": {"Start": dword(3)} for number in range(8)}},
    },
}
SOFTWARE_HIVE: dict[str, Any] = {
    "Microsoft": {
        "Windows": {"CurrentVersion": {"DevicePath": expand_sz(r"%SystemRoot%\inf"), "ProgramFilesDir": sz("C:")}},
        "Windows NT": {"CurrentVersion": {"CurrentVersion": sz("6.1"), "CurrentBuildNumber": sz("7601")}},
    }
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("windows")


@pytest.fixture(scope="module")
def hives(place: Path) -> dict[HiveName, bytes]:
    return {SYSTEM: make_hive(place, SYSTEM_HIVE), SOFTWARE: make_hive(place, SOFTWARE_HIVE)}


@pytest.fixture(scope="module")
def handle(place: Path) -> Iterator[Handle]:
    """Return an appliance with an NTFS that has the hives' directory."""
    image, socket = place / "disk.img", place / "nbd"
    with image.open("wb") as file:
        file.truncate(96 * 1024 * 1024)
    process = subprocess.Popen(["qemu-nbd", "-t", "--cache=unsafe", "-f", "raw", "-k", str(socket), str(image)])
    try:
        deadline = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        endpoint = DiskEndpoint(index=1, uri=f"nbd+unix:///?socket={socket}")
        with Appliance(request(place, endpoint)) as appliance:
            appliance.handle.part_disk("/dev/sda", "mbr")
            appliance.handle.mkfs("ntfs", "/dev/sda1")
            yield appliance.handle
    finally:
        process.terminate()
        process.wait()


def request(place: Path, *disks: DiskEndpoint) -> ConvertRequest:
    return ConvertRequest(
        directory=place,
        temporary=place,
        guest=Guest(name="g", disks=(SourceDisk(index=1),)),
        disks=disks,
        settings=ConvertSettings(emulation=True),
        report=FakeReporter(),
    )


@pytest.fixture
def session(handle: Handle, place: Path, hives: dict[HiveName, bytes]) -> Session:
    """Return a session whose guest is mounted as a conversion mounts it, with fresh hives."""
    found = Session(request=request(place), handle=handle, filesystems={"/dev/sda1": "ntfs"})
    found.found = Inspection(
        root="/dev/sda1", os_type="windows", distro="windows", arch="i386", mountpoints=(("/", "/dev/sda1"),)
    )
    with suppress(RuntimeError):
        handle.hivex_close()
    handle.umount_all()
    mount_guest(found, Blockers(), untouched=False)
    handle.mkdir_p(CONFIG)
    for name, content in hives.items():
        handle.write(f"{CONFIG}/{name}", content)
    return found


def seen(session: Session) -> WindowsGuest:
    blockers = Blockers()
    guest = look(session, blockers)
    assert blockers.reasons == []
    return guest


def contents(hive: bytes, place: Path) -> dict[tuple[str, str | None], object]:
    """Return all keys and values of a hive, read by another reader than the one that wrote it."""
    from dissect.regf.regf import RegistryHive  # type: ignore[import-untyped, import-not-found, unused-ignore]

    found: dict[tuple[str, str | None], object] = {}

    def walk(key: Any, path: str) -> None:
        found[path, None] = None
        for value in key.values():
            name = "" if value.name == "(Default)" else value.name
            found[path, name] = (int(value.type), value.value)
        for below in key.subkeys():
            walk(below, f"{path}\\{below.name}")

    file = place / "read"
    file.write_bytes(hive)
    with file.open("rb") as stream:
        walk(RegistryHive(stream).root(), "")
    return found


def differences(session: Session, hives: dict[HiveName, bytes], place: Path) -> set[tuple[str, str | None]]:
    """Return what differs between the hives as they were and as they are; of a new or lost key only the values."""
    found: set[tuple[str, str | None]] = set()
    for name, content in hives.items():
        before = contents(content, place)
        after = contents(bytes(session.handle.read_file(f"{CONFIG}/{name}")), place)
        changed = {key for key in before.keys() | after.keys() if before.get(key, "-") != after.get(key, "-")}
        found |= {(f"{name}{path}", value) for path, value in changed if value is not None}
    return found


def test_edits_are_what_the_report_says_and_nothing_else(
    session: Session, hives: dict[HiveName, bytes], place: Path
) -> None:
    guest = seen(session)
    assert (guest.system.osinfo, guest.system.version, guest.system.build) == ("win7", (6, 1), 7601)
    registry, version = guest.registry, r"Microsoft\Windows\CurrentVersion"
    lsi = registry.key(SYSTEM, rf"{SERVICES.upper()}\lsi_sas")
    assert lsi is not None
    assert lsi.path == rf"{SERVICES}\LSI_SAS"
    assert lsi.values() == {name: value for name, value in LSI.items() if isinstance(value, Value)}
    assert lsi.value("missing") is None
    assert lsi.key("missing") is None
    assert registry.key(SYSTEM, SERVICES).keys()[5].name == "Service004"  # type: ignore[union-attr]

    registry.set(SYSTEM, rf"{SERVICES}\lsi_sas", "START", dword(3), why="w")
    registry.set(SYSTEM, rf"{SERVICES}\viostor\Parameters\PnpInterface", "5", dword(1), why="w")
    registry.set(SYSTEM, rf"{SERVICES}\viostor", "", multi_sz("a", "b\u00e4\u20ac"), why="w")
    registry.delete_value(SYSTEM, rf"{SERVICES}\LSI_SAS", "Tag", why="w")
    registry.delete_value(SYSTEM, rf"{SERVICES}\Service007", "Start", why="w")
    registry.delete_key(SYSTEM, rf"{SERVICES}\LSI_SAS\Parameters", why="w")
    registry.set(SOFTWARE, version, "DevicePath", expand_sz("x" * 8000), why="w")
    registry.delete_value(SOFTWARE, version, "programfilesdir", why="w")
    registry.commit()

    changed = {(change.path, change.value) for change in session.changes if change.value is not None}
    gone = {(rf"SYSTEM\{SERVICES}\LSI_SAS\Parameters\PnpInterface", "5")}
    assert differences(session, hives, place) == changed | gone
    assert [change.path for change in session.changes if change.value is None] == [
        rf"SYSTEM\{SERVICES}\LSI_SAS\Parameters"
    ]
    assert session.handle.ls(CONFIG) == ["SOFTWARE", "SYSTEM"]
    again = registry.key(SYSTEM, rf"{SERVICES}\viostor")
    assert again is not None
    assert again.values() == {"": multi_sz("a", "b\u00e4\u20ac")}

    driver = SimpleNamespace(
        service="LSI_SAS", path="/x.sys", image_path=LSI["ImagePath"].text, group="SCSI Miniport", sha256="", machine=1,
        ids=(), inf=None, package=None, catalogue=None,
    )  # fmt: skip
    facts = examine_result(guest, Expected(driver=cast("Any", driver)))
    assert [(fact.verdict, fact.detail) for fact in facts] == [
        (Verdict.FAILED, rf"Start of {SERVICES}\LSI_SAS is 3 and not 0"),
        (Verdict.FAILED, "/x.sys is missing or cannot be read"),
    ]


def test_a_failure_leaves_every_hive_as_it_was(
    session: Session, hives: dict[HiveName, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    guest, written = seen(session), list[str]()
    pwrite = session.handle.pwrite

    def failing(path: str, content: bytes, offset: int) -> int:
        if path == f"{CONFIG}/SOFTWARE" and not written:
            written.append(path)
            raise RuntimeError("pwrite: No space left on device")
        return int(pwrite(path, content, offset))

    guest.registry.set(SYSTEM, rf"{SERVICES}\New", "A", binary(bytes(LONGEST_VALUE)), why="w")
    guest.registry.set(SOFTWARE, "New", "A", dword(1), why="w")
    monkeypatch.setattr(session.handle, "pwrite", failing)
    with pytest.raises(ConversionError, match=r"hive SOFTWARE .* cannot be edited: No space left .*it is as it was"):
        guest.registry.commit()
    assert written
    monkeypatch.undo()
    guest.registry.set(SYSTEM, r"ControlSet001\Control\Session Manager", "New", dword(1), why="w")
    guest.registry.commit()

    session.handle.write(f"{CONFIG}/SYSTEM", make_hive(session.request.temporary, {"A": {"B": binary(bytes(20000))}}))
    guest.registry.set(SYSTEM, "A", "C", dword(1), why="w")
    before = bytes(session.handle.read_file(f"{CONFIG}/SYSTEM"))
    with pytest.raises(ConversionError, match="has a value of 20000 bytes"):
        guest.registry.commit()
    assert bytes(session.handle.read_file(f"{CONFIG}/SYSTEM")) == before
    assert session.handle.ls(CONFIG) == ["SOFTWARE", "SYSTEM"]


def test_damaged_hives_are_told_and_never_half_edited(session: Session, hives: dict[HiveName, bytes]) -> None:
    chance = random.Random(13)  # noqa: S311 - the same damage each time
    outcomes = {"whole": 0, "told": 0}
    session.found = found = session.inspection
    for _ in range(24):
        damaged = bytearray(hives[SYSTEM])
        for _ in range(chance.choice((1, 4, 40))):
            at = chance.randrange(4096, len(damaged) - 4)
            struct.pack_into("<I", damaged, at & ~3, chance.choice((0, 0xFFFFFFFF, 0x7FFFFFF0, chance.getrandbits(32))))
        with suppress(RuntimeError):
            session.handle.hivex_close()
        session.handle.write(f"{CONFIG}/SYSTEM", bytes(damaged))
        session.found = found
        try:
            guest = look(session, Blockers())
            for key in guest.registry.key(SYSTEM, SERVICES) or ():
                key.values()
            guest.registry.set(SYSTEM, rf"{SERVICES}\viostor", "Start", dword(0), why="w")
            guest.registry.delete_value(SYSTEM, rf"{SERVICES}\LSI_SAS", "Tag", why="w")
            guest.registry.commit()
            outcomes["whole"] += 1
        except ConversionError as err:
            assert re.search(r"hive SYSTEM|SYSTEM\\Select|registry", err.message), err.message
            assert err.hint
            assert bytes(session.handle.read_file(f"{CONFIG}/SYSTEM")) == bytes(damaged)
            outcomes["told"] += 1
        assert session.handle.ls(CONFIG) == ["SOFTWARE", "SYSTEM"]
    assert min(outcomes.values()) > 3, outcomes


def test_only_administrators_can_write_what_is_created(session: Session) -> None:
    guest, handle = seen(session), session.handle
    # as mkntfs makes it, and as Windows does: every user may create directories there
    assert writers(handle, "/") == ["S-1-5-11"]
    path = "/Program Files/v2v-firstboot/v2v-firstboot.exe"
    guest.files.create(path, b"MZ", why="w", private=True)
    guest.files.create("/windows/SYSTEM32/Drivers/viostor.sys", b"MZ", why="w")
    for each in (path, *above(path), "/Windows/System32/Drivers/viostor.sys"):
        assert writers(handle, each) == [], each
    guest.files.create(path, b"MZ2", why="w", private=True)
    assert handle.read_file(path) == b"MZ2"
    assert writers(handle, path) == []
    # directories and files without any rights, as the appliance makes them without the option of the mount
    handle.umount_all()
    handle.mount("/dev/sda1", "/")
    handle.mkdir_p("/open/below")
    handle.write("/open/below/old.exe", b"MZ")
    assert writers(handle, "/open/below/old.exe") == ["S-1-1-0"]
    handle.umount_all()
    mount_guest(session, Blockers(), untouched=False)
    guest.files.create("/Open/Below/Old.exe", b"MZ2", why="w", private=True)
    assert (writers(handle, "/open/below"), writers(handle, "/open/below/old.exe")) == ([], [])


def writers(handle: Handle, path: str) -> list[str]:
    return other_writers(bytes(handle.getxattr(path, "system.ntfs_acl")))


def above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def test_odd_names_and_links_of_a_guest(session: Session) -> None:
    guest, handle = seen(session), session.handle
    handle.mkdir("/odd")
    for name in ("a:b", "con", "x ", "\u00e4\u20ac\U0001f600", "<>", "back\\slash"):
        handle.write(f"/odd/{name}", name.encode())
    handle.ln_sf("/../../../../etc/shadow", "/odd/out")
    handle.ln_sf("loop", "/odd/loop")
    assert len(guest.files.names("/ODD")) == 8
    assert guest.files.read("/odd/\u00c4\u20ac\U0001f600") in {None, "\u00e4\u20ac\U0001f600".encode()}
    assert guest.files.read("/odd/CON") == b"con"
    for path in ("/odd/out", "/odd/loop", "/odd/loop/x", "/odd/out/x"):
        assert guest.files.read(path) is None
    for path in ("/odd/con/below.exe", "/odd/loop/below.exe", "/odd"):
        with pytest.raises(ConversionError, match="cannot be written"):
            guest.files.create(path, b"x", why="w")
    assert guest.files.remove("/ODD", why="w")
    assert not handle.exists("/odd")
