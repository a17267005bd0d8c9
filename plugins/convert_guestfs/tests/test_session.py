# SPDX-License-Identifier: GPL-2.0-or-later
"""Blockers are reported all at once, changes one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import (
    ConversionError,
    ConvertRequest,
    ConvertSettings,
    Guest,
)
from v2v_core.testing import FakeReporter


def test_all_blockers_are_named() -> None:
    blockers = Blockers()
    blockers.stop()
    blockers.add("first", "do this")
    blockers.add("second", "do that")
    with pytest.raises(ConversionError, match=r"2 reasons: \(1\) first; \(2\) second") as caught:
        blockers.stop()
    assert caught.value.hint == "do this; do that"
    assert [(one.reason, one.remedy) for one in caught.value.obstacles] == [("first", "do this"), ("second", "do that")]


def test_a_change_is_said_when_it_happens(tmp_path: Path) -> None:
    report = FakeReporter()
    request = ConvertRequest(
        directory=tmp_path,
        temporary=tmp_path,
        guest=Guest(name="g"),
        disks=(),
        settings=ConvertSettings(),
        report=report,
    )
    session = Session(request=request, handle=None)
    session.changed("/etc/fstab", "new names", "disks have other names")
    assert report.changes == [("/etc/fstab", "new names", "disks have other names")]
    assert [change.path for change in session.changes] == ["/etc/fstab"]
