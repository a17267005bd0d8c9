# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress bars appear on a terminal and nowhere else."""

from __future__ import annotations

import io

import pytest

from v2v_cli.render.bars import Bars
from v2v_core.errors import CopyError
from v2v_core.events import Event, EventKind, Step


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def copying(disk: int, done: int) -> Event:
    return Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=disk, done=done, total=1024**2)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def test_each_disk_has_a_bar() -> None:
    stream = Terminal()
    bars = Bars(stream)
    bars(copying(1, 512 * 1024))
    bars(copying(2, 1024**2))
    bars(Event(kind=EventKind.STEP_FINISHED, step=Step.COPY))
    shown = stream.getvalue()
    assert "disk 1" in shown
    assert "disk 2" in shown
    assert "100%" in shown
    bars.close()


def test_nothing_is_written_to_a_file() -> None:
    stream = io.StringIO()
    bars = Bars(stream)
    bars(copying(1, 5))
    bars.failed(CopyError("x", disk=1))
    assert stream.getvalue().strip() == ""


def test_nothing_is_drawn_before_the_copy() -> None:
    stream = Terminal()
    bars = Bars(stream)
    bars(Event(kind=EventKind.PROGRESS, step=Step.CONVERT, done=1, total=2))
    bars.close()
    assert stream.getvalue() == ""
