# SPDX-License-Identifier: GPL-2.0-or-later
"""Volumes as Windows leaves them, looked at by the real ntfs-3g: what may be written, and that nothing is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bitlocker_volume import RECOVERY_PASSWORD, encrypted
from ntfs_images import MIB, POOL, bitlocker, damaged, gpt, marked_dirty, mbr, ntfs, with_journal
from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.encryption import open_encrypted
from v2v_convert_guestfs.filesystems.nothing_found import nothing_found
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.checks.before_mounting import check_volumes
from v2v_convert_guestfs.windows.checks.ntfs import Obstacle, find_obstacles
from v2v_core.api import ConvertRequest, ConvertSettings, DiskEndpoint, Guest, Inspection, SourceDisk
from v2v_core.testing import FakeReporter

pytestmark = pytest.mark.slow

PAGE = 8192
COMPRESSED, LOCKED, INSIDE = "/dev/sda9", "/dev/sda10", "/dev/mapper/cryptdevsda10"
#: Where the encrypted volume has nothing.
METADATA_AT = 6 * MIB
#: A reparse point of the Windows Overlay Filter, for a file that is compressed by itself.
WOF = "0x170000801000000001000000020000000100000000000000"
#: The partitions of the first disk with NTFS, and in what state they are.
STATES = {
    "/dev/sda1": [],
    "/dev/sda2": [Obstacle.NOT_CLOSED],
    "/dev/sda3": [Obstacle.CACHED],
    "/dev/sda4": [Obstacle.DIRTY],
    "/dev/sda5": [Obstacle.HIBERNATED],
    "/dev/sda6": [Obstacle.SHORT_HIBERFIL],
    "/dev/sda7": [Obstacle.DAMAGED],
    COMPRESSED: [],
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return three disks: volumes in several states, a pool of Storage Spaces, a dynamic disk."""
    place = tmp_path_factory.mktemp("images")
    plain = ntfs(place)
    volumes = [
        ntfs(place, {"hiberfil.sys": b"wake".ljust(PAGE, b"\0"), "bootmgr": b"boot"}),
        with_journal(plain, closed=False),
        with_journal(plain, closed=False, version=(2, 0)),
        marked_dirty(with_journal(plain, closed=True)),
        with_journal(ntfs(place, {"hiberfil.sys": b"HIBR".ljust(PAGE, b"\0")}), closed=False),
        ntfs(place, {"hiberfil.sys": b""}),
        damaged(plain),
        bitlocker(0x0100, 0x0800, 0x0000),
        plain,
        encrypted(ntfs(place, {"bootmgr": b"boot"}), METADATA_AT),
    ]
    contents = [gpt(volumes), gpt([b"SPACEDB ".ljust(MIB, b"\0")], POOL), mbr(0x42, bytes(MIB))]
    made = [place / f"disk{number}.img" for number, _ in enumerate(contents, 1)]
    for path, content in zip(made, contents, strict=True):
        path.write_bytes(content)
    return made


@pytest.fixture
def session(images: list[Path], serve: Callable[[Path], DiskEndpoint], tmp_path: Path) -> Iterator[Session]:
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path / "temporary",
        guest=Guest(name="phony", disks=tuple(SourceDisk(index=index) for index in (1, 2, 3))),
        disks=tuple(map(serve, images)),
        settings=ConvertSettings(emulation=True),
        report=FakeReporter(),
    )
    with Appliance(request) as appliance:
        handle = appliance.handle
        # disks.list_filesystems would ask libguestfs because of the dynamic disk, which takes long
        kinds = {str(device): str(handle.vfs_type(device)) for device in handle.list_partitions()}
        yield Session(request=request, handle=handle, filesystems=kinds)


def digests(images: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]


def look(session: Session, root: str) -> tuple[bool, Blockers, list[str]]:
    report = FakeReporter()
    session.request = replace(session.request, report=report)
    session.found = Inspection(
        root=root, os_type="windows", distro="windows", arch="x86_64", mountpoints=(("/", root),)
    )
    blockers = Blockers()
    return check_volumes(session, blockers), blockers, report.warnings


def test_the_state_of_volumes(session: Session, images: list[Path]) -> None:
    """See apache/cloudstack#11561 and vexxhost/migratekit#54: ntfs-3g went read-only, and nobody said why before."""
    handle = session.handle
    assert session.filesystems["/dev/sda8"] == "BitLocker"
    assert {session.filesystems[device] for device in STATES} == {"ntfs"}
    before = digests(images)
    assert {device: find_obstacles(session, device) for device in STATES} == STATES

    everything = session.filesystems
    session.filesystems = {
        device: everything[device] for device in ("/dev/sda1", "/dev/sda2", "/dev/sda5", "/dev/sda8")
    }
    untouched, blockers, warnings = look(session, "/dev/sda1")
    assert (untouched, blockers.reasons) == (False, [])
    told = [device for device in STATES if any(f"the volume {device} was not left" in text for text in warnings)]
    assert told == ["/dev/sda2", "/dev/sda5"]
    assert any("/dev/sdb" in text and "Storage Spaces" in text for text in warnings)
    assert any("/dev/sdc" in text and "dynamic disks" in text for text in warnings)
    assert any(text.startswith("/dev/sda8 is encrypted with BitLocker and is copied") for text in warnings)
    untouched, blockers, warnings = look(session, "/dev/sda5")
    assert untouched
    ((reason, remedy),) = blockers.reasons
    assert reason.startswith("the Windows volume /dev/sda5 cannot be written: hiberfil.sys holds the memory of a ")
    assert "shutdown /s /t 0" in remedy
    assert not handle.mountpoints()
    handle.sync()
    assert digests(images) == before

    # What CompactOS does to a file: the compressed data are in another stream, behind a reparse point.
    session.filesystems = {COMPRESSED: "ntfs", "/dev/sda8": "BitLocker"}
    handle.mount(COMPRESSED, "/")
    handle.mkdir_p("/Windows/System32/config")
    handle.write("/Windows/System32/cmd.exe", b"")
    handle.debug("sh", [f"setfattr -n system.ntfs_reparse_data -v {WOF} /sysroot/Windows/System32/cmd.exe"])
    handle.umount_all()
    reason, _ = nothing_found(session)
    assert f"{COMPRESSED} has a Windows whose files are compressed" in reason
    assert "/dev/sda8 is encrypted with BitLocker, and suspended" in reason
    assert "/dev/sdb: a part of a pool of Storage Spaces" in reason
    assert "/dev/sdc: a dynamic disk of Windows (LDM)" in reason


@pytest.mark.zoo
def test_a_recovery_password_opens_bitlocker(session: Session) -> None:
    """Opened, it is a volume as any other. A million rounds of SHA-256 take long without hardware virtualization."""
    (session.request.directory / "password").write_text(RECOVERY_PASSWORD + "\n")
    key = f"{LOCKED}:file:{session.request.directory}/password"
    session.request = replace(session.request, settings=replace(session.request.settings, keys=(key,)))
    session.filesystems, blockers = {LOCKED: "BitLocker"}, Blockers()
    open_encrypted(session, blockers)
    assert (blockers.reasons, session.opened) == ([], {LOCKED: INSIDE})
    assert session.filesystems[INSIDE] == "ntfs"
    session.filesystems = {device: session.filesystems[device] for device in (LOCKED, INSIDE)}
    untouched, blockers, warnings = look(session, INSIDE)
    assert (untouched, blockers.reasons) == (False, [])
    assert [text.partition(", and its key is in the TPM")[0] for text in warnings if LOCKED in text] == [
        f"{LOCKED} is encrypted with BitLocker"
    ]
    session.handle.mount(INSIDE, "/")
    session.handle.write("/written", b"through BitLocker")
    session.handle.umount_all()
    session.handle.mount_ro(INSIDE, "/")
    assert bytes(session.handle.read_file("/written")) == b"through BitLocker"
