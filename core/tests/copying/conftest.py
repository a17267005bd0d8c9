# SPDX-License-Identifier: GPL-2.0-or-later
"""Tasks for the tests of the copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2v_core.copying.task import CopyTask, DestinationEnd, SourceEnd

MakeTask = Callable[..., CopyTask]


@pytest.fixture
def make_task(tmp_path: Path) -> MakeTask:
    """Return a function that makes a task: options of both ends begin with ``source_`` and ``destination_``."""

    def make(**options: Any) -> CopyTask:
        ends: dict[str, dict[str, Any]] = {
            "source": {"uri": "nbd://localhost:1/", "identity": "a guest", "version": "1", "overlay": True},
            "destination": {"uri": "nbd://localhost:2/", "identity": "a target", "zeroed": True},
        }
        rest: dict[str, Any] = {"index": 1, "size": 1024 * 1024, "conversion": "c1", "place": tmp_path / "copy"}
        for name, value in options.items():
            end, _, key = name.partition("_")
            if end in ends:
                ends[end][key] = value
            else:
                rest[name] = value
        return CopyTask(source=SourceEnd(**ends["source"]), destination=DestinationEnd(**ends["destination"]), **rest)

    return make
