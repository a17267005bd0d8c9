# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o null``: which options it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import Guest, OptionValues, OutputCheckRequest, OutputSettings, SourceDisk, UsageError
from v2v_core.testing import FakeReporter
from v2v_output_local.null.plugin import NullOutput


@pytest.mark.parametrize(
    "settings",
    [
        {"allocation": "preallocated"},
        {"connection": "x"},
        {"format": "qcow2", "format_given": True},
        {"password_file": Path("/x")},
        {"options": OptionValues(values={"x": ("1",)})},
        {"storage": "/tmp"},
    ],
)
def test_options_without_effect_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    request = OutputCheckRequest(
        directory=tmp_path,
        settings=OutputSettings(**{"name": "guest", **settings}),
        guest=Guest(name="guest", disks=(SourceDisk(index=1, size=1024 * 1024),)),
        report=FakeReporter(),
    )
    with pytest.raises(UsageError, match="-o null"):
        NullOutput().v2v_output_check(request)
