# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v_inspect``: obstacles are a result; what hinders the look itself is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_convert_guestfs import deep_inspection
from v2v_convert_guestfs.deep_inspection import look_into
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.time_limits import OutOfTimeError
from v2v_core.api import (
    Capabilities,
    Change,
    ConversionError,
    ConvertRequest,
    ConvertResult,
    ConvertSettings,
    FilesystemFound,
    Firmware,
    Guest,
    Inspection,
    Obstacle,
)
from v2v_core.testing import FakeReporter

FOUND = Inspection(root="/dev/sda2", os_type="linux", distro="debian", arch="x86_64", mountpoints=(("/", "/dev/sda2"),))
CHANGE = Change(path="/etc/fstab", what="renamed", why="new names")
Convert = Callable[[Session], ConvertResult]


def look(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, convert: Convert) -> deep_inspection.InspectResult:
    """Look into a guest whose conversion does what the test says."""
    monkeypatch.setattr(deep_inspection, "convert_session", convert)
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="guest"),
        disks=(),
        settings=ConvertSettings(extra={"collect": ["/etc"], "collect_output": "/x.tar.xz"}),
        report=FakeReporter(),
    )
    return look_into(request)


def examined(session: Session) -> None:
    session.filesystems = {"/dev/sda2": "ext4", "btrfsvol:/dev/sdb/data": "btrfs"}
    session.findings.sizes = {"/dev/sda2": 4096}
    session.findings.tools = ("open-vm-tools",)
    session.found = FOUND


def test_a_guest_that_can_be_converted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def convert(session: Session) -> ConvertResult:
        examined(session)
        assert not session.request.settings.trim, "trimming serves the copy only"
        assert session.request.settings.extra == {}, "a look saves no files of the guest"
        return ConvertResult(
            inspection=FOUND, capabilities=Capabilities(), firmware=Firmware.BIOS, boot_disk=1, changes=(CHANGE,)
        )

    result = look(monkeypatch, tmp_path, convert)
    assert result.convertible
    assert (result.changes, result.boot_disk, result.hypervisor_tools) == ((CHANGE,), 1, ("open-vm-tools",))
    assert set(result.filesystems) == {
        FilesystemFound(device="/dev/sda2", kind="ext4", size=4096, mountpoint="/"),
        FilesystemFound(device="btrfsvol:/dev/sdb/data", kind="btrfs"),
    }


def test_obstacles_come_with_what_was_found_before_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    obstacles = (Obstacle(reason="hibernated", remedy="resume"), Obstacle(reason="full", remedy="free space"))

    def convert(session: Session) -> ConvertResult:
        examined(session)
        raise ConversionError.for_obstacles(obstacles)

    result = look(monkeypatch, tmp_path, convert)
    assert (result.obstacles, result.inspection, result.changes) == (obstacles, FOUND, ())
    assert result.hypervisor_tools == ("open-vm-tools",)


def test_a_change_that_fails_is_an_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def convert(session: Session) -> ConvertResult:
        examined(session)
        session.changed("/etc/fstab", "renamed", "new names")
        raise ConversionError("/etc/grub.cfg cannot be written", hint="take the immutable flag away")

    result = look(monkeypatch, tmp_path, convert)
    assert result.obstacles == (
        Obstacle(reason="/etc/grub.cfg cannot be written", remedy="take the immutable flag away"),
    )
    assert result.changes == (), "a conversion that fails changes nothing"


def test_a_guest_that_cannot_be_examined_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def convert(session: Session) -> ConvertResult:
        raise ConversionError("the guest has 2 operating systems", hint="choose one with --root")

    with pytest.raises(ConversionError, match="2 operating systems"):
        look(monkeypatch, tmp_path, convert)


def test_a_look_that_takes_too_long_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def convert(session: Session) -> ConvertResult:
        examined(session)
        session.out_of_time = OutOfTimeError("rpm ran for 10 minutes")
        raise session.out_of_time

    with pytest.raises(ConversionError, match="10 minutes"):
        look(monkeypatch, tmp_path, convert)
