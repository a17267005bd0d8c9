# SPDX-License-Identifier: GPL-2.0-or-later
"""The converter's own settings are checked before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from v2v_convert_guestfs.plugin import GuestfsConvert
from v2v_convert_guestfs.settings import Collect, parse_collect
from v2v_core.api import ConvertSettings, UsageError


def test_what_is_to_be_collected(tmp_path: Path) -> None:
    archive = tmp_path / "x.tar.xz"
    words = ["/etc", "/var/log:logs/all", "/home:."]
    expected = Collect((("/etc", ""), ("/var/log", "logs/all"), ("/home", "")), archive)
    assert parse_collect({"collect": words, "collect_output": str(archive)}) == expected
    assert parse_collect({}) is None


@pytest.mark.parametrize(
    ("extra", "complaint"),
    [
        ({"collect": ["/etc"]}, "--collect needs --collect-output"),
        ({"collect_output": "/tmp/x.tar.xz"}, "--collect-output needs --collect"),
        ({"collect": ["etc"], "collect_output": "/tmp/x.tar.xz"}, "'etc' is not an absolute path"),
        ({"collect": ["/etc:/etc"], "collect_output": "/tmp/x.tar.xz"}, "'/etc' leads out of the archive"),
        ({"collect": ["/etc:a/../../b"], "collect_output": "/tmp/x.tar.xz"}, "leads out of the archive"),
        ({"collect": ["/etc"], "collect_output": "/nonexistent/x.tar.xz"}, "/nonexistent/x.tar.xz cannot be written"),
        ({"collect": ["/etc"], "collect_output": "/tmp"}, "/tmp cannot be written"),
        ({"collect": [7], "collect_output": "/tmp/x.tar.xz"}, "'7' is not an absolute path"),
    ],
)
def test_what_cannot_be_collected(extra: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        GuestfsConvert().v2v_convert_check(ConvertSettings(extra=extra, emulation=True))
