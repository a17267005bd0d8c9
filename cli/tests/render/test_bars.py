# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress bars appear on a terminal and nowhere else."""

from __future__ import annotations

import io
import re

import pytest

from v2v_cli.render.bars import Bars
from v2v_core.errors import CopyError, Interrupted
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


def rows_drawn(columns: int, output: str) -> list[str]:
    """Return the rows of a terminal of this width after some output: as far as bars use a terminal."""
    rows, at, column = [""], 0, 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|.|\n", output, re.DOTALL):
        if part == "\x1b[2K":
            rows[at] = ""
        elif part == "\x1b[1A":
            at -= 1
        elif part == "\r":
            column = 0
        elif part == "\n" or (len(part) == 1 and column >= columns):
            at, column = at + 1, 0
            rows += [""] * (at + 1 - len(rows))
        if len(part) == 1 and part not in "\r\n":
            rows[at] = rows[at][:column].ljust(column) + part + rows[at][column + 1 :]
            column += 1
    return [row.rstrip() for row in rows if row.strip()]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_ctrl_c_does_not_draw_the_bar_twice(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal writes ^C behind the bar, and users saw the bar two more times
    (stratosphereips/StratosphereLinuxIPS#1010).
    """
    monkeypatch.setenv("COLUMNS", str(columns))
    seconds = iter(range(1000))
    stream = Terminal()
    bars = Bars(stream, clock=lambda: float(next(seconds)))
    bars(Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=2**30, total=100 * 2**30))
    bars(Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=2**31, total=100 * 2**30))
    stream.write("^C^C")
    bars(Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=3 * 2**30, total=100 * 2**30))
    bars(Event(kind=EventKind.STEP_FAILED, step=Step.COPY, text="interrupted"))
    # the program that copies is being stopped, and has still something to say
    bars(Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=1, done=4 * 2**30, total=100 * 2**30))
    bars.failed(Interrupted("interrupted"))
    bars.close()
    (row,) = rows_drawn(columns, stream.getvalue())
    assert row.startswith("disk 1 ")
    assert len(row) <= columns - 4


def test_the_next_copy_has_bars_again() -> None:
    stream = Terminal()
    bars = Bars(stream)
    bars(copying(1, 1024**2))
    bars(Event(kind=EventKind.STEP_FAILED, step=Step.COPY))
    bars(Event(kind=EventKind.STEP_STARTED, step=Step.COPY))
    bars(copying(2, 1024**2))
    bars.close()
    assert "disk 2" in stream.getvalue()
