# SPDX-License-Identifier: GPL-2.0-or-later
"""When the file systems of a guest are trimmed."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.filesystems.limits import Limit
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.trim import trim_before
from v2v_core.api import ConvertRequest, ConvertSettings, Guest
from v2v_core.testing import FakeReporter


class FakeHandle:
    """As much of libguestfs as trimming takes; it remembers the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def mount_options(self, options: str, device: str, place: str) -> None:
        if device == "/dev/sda9":
            raise RuntimeError("wrong fs type")
        self.calls.append((f"mount {options}", device))

    def fstrim(self, place: str) -> None:
        self.calls.append(("fstrim", place))

    def umount_all(self) -> None:
        self.calls.append(("umount", ""))


def session(tmp_path: Path, *, trim: bool = True, in_place: bool = False) -> Session:
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="guest"),
        disks=(),
        settings=ConvertSettings(trim=trim),
        report=FakeReporter(),
        in_place=in_place,
    )
    made = Session(request=request, handle=FakeHandle())  # type: ignore[arg-type]  # a fake
    made.filesystems = {"/dev/sda2": "ext4", "/dev/sda1": "swap", "/dev/sda9": "ext4"}
    return made


def reported(made: Session) -> int:
    assert isinstance(made.request.report, FakeReporter)
    return made.request.report.times_trimmed


def calls(made: Session) -> list[tuple[str, str]]:
    handle: object = made.handle
    assert isinstance(handle, FakeHandle)
    return handle.calls


def test_file_systems_are_trimmed_and_the_copy_is_told_once(tmp_path: Path) -> None:
    made = session(tmp_path)
    trim_before(made, Blockers(), untouched=False)
    assert calls(made) == [("mount discard", "/dev/sda2"), ("fstrim", "/"), ("umount", "")]
    assert reported(made) == 1


def test_a_btrfs_is_trimmed_once_and_what_the_appliance_cannot_use_is_left_alone(tmp_path: Path) -> None:
    made = session(tmp_path)
    made.filesystems = {"btrfsvol:/dev/sdb1/@": "btrfs", "btrfsvol:/dev/sdb1/@home": "btrfs", "/dev/sdc1": "xfs"}
    made.limits = {"/dev/sdc1": Limit("it is too new", "nothing helps")}
    trim_before(made, Blockers(), untouched=False)
    assert [device for call, device in calls(made) if call.startswith("mount")] == ["btrfsvol:/dev/sdb1/@"]


def test_the_copy_is_told_if_the_user_wants_no_trimming(tmp_path: Path) -> None:
    made = session(tmp_path, trim=False)
    trim_before(made, Blockers(), untouched=False)
    assert (calls(made), reported(made)) == ([], 1)


@pytest.mark.parametrize("why", ["untouched", "blocked", "in place"])
def test_a_guest_that_may_not_be_written_is_not_trimmed(tmp_path: Path, why: str) -> None:
    made, blockers = session(tmp_path, in_place=why == "in place"), Blockers()
    if why == "blocked":
        blockers.add("it is hibernated", "resume it")
    trim_before(made, blockers, untouched=why == "untouched")
    assert (calls(made), reported(made)) == ([], 0)
