# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress bars appear on a terminal and nowhere else."""

from __future__ import annotations

import io
import itertools
import re
import sys
import threading
from collections.abc import Callable

import pytest

from v2v_cli.render.bars import Bars
from v2v_cli.render.plain import Plain
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


def test_a_download_has_bars_of_its_own() -> None:
    """``-it export`` downloads the disks when the input is set up; the copy begins with new bars."""
    stream = Terminal()
    bars = Bars(stream)
    bars(Event(kind=EventKind.PROGRESS, step=Step.INPUT_SETUP, disk=1, done=1024**2, total=1024**2))
    bars(Event(kind=EventKind.STEP_FINISHED, step=Step.INPUT_SETUP))
    assert "disk 1" in stream.getvalue()
    assert "100%" in stream.getvalue()
    stream.truncate(0)
    bars(Event(kind=EventKind.STEP_STARTED, step=Step.COPY))
    bars(copying(1, 256 * 1024))
    bars.close()
    assert "25%" in stream.getvalue()


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


GIB = 2**30


def moved(disk: int, done: int, total: int) -> Event:
    return Event(kind=EventKind.PROGRESS, step=Step.COPY, disk=disk, done=done, total=total)


def percentages(stream: Terminal, name: str) -> list[int]:
    """Return the percentages that a bar has shown, one after another."""
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    found = [int(number) for number in re.findall(rf"{name} +[^%\n]*? (\d+)%", drawn)]
    return [number for number, before in zip(found, [-1, *found], strict=False) if number != before]


def ticking(seconds: float = 1.0) -> Callable[[], float]:
    count = itertools.count()
    return lambda: next(count) * seconds


@pytest.mark.parametrize("columns", [60, 72, 80, 120])
def test_bar_of_all_disks_is_below_the_others_and_counts_their_bytes(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(moved(1, GIB, 2 * GIB))
    bars(moved(2, GIB, 8 * GIB))
    bars(moved(3, GIB, 2 * GIB))
    bars.close()
    rows = rows_drawn(columns, stream.getvalue())
    assert [row[:8].strip() for row in rows] == ["disk 1", "disk 2", "disk 3", "together"]
    assert "25%" in rows[3]
    assert columns < 72 or "3.0/12.0 GiB" in rows[3]
    assert all(len(row) <= columns - 4 for row in rows)


def test_one_disk_has_no_second_bar() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(moved(1, GIB, 2 * GIB))
    bars.close()
    assert "together" not in stream.getvalue()


def test_a_total_that_grows_does_not_run_backwards() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    for done, total in ((5, 10), (6, 10), (6, 20), (8, 20), (16, 20), (20, 20)):
        bars(moved(1, done * GIB, total * GIB))
        bars._progress.refresh()  # type: ignore[union-attr]
    bars.close()
    assert percentages(stream, "disk 1") == [50, 60, 80, 100]


def test_what_is_not_complete_is_never_shown_as_complete() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(moved(1, GIB, GIB))
    bars(moved(1, GIB, GIB + 1))
    bars(moved(2, 10**6 * GIB - 1, 10**6 * GIB))
    bars.close()
    last = rows_drawn(120, stream.getvalue())
    assert all("100%" not in row for row in last)


def test_a_disk_without_data_is_complete() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(moved(1, 0, 0))
    bars.close()
    (row,) = rows_drawn(120, stream.getvalue())
    assert "100%" in row


def test_what_was_copied_before_is_not_taken_for_speed() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(moved(1, 90 * GIB, 100 * GIB))
    for step in range(1, 6):
        bars(moved(1, 90 * GIB + step * 2**20, 100 * GIB))
    bars.close()
    (row,) = rows_drawn(120, stream.getvalue())
    (speed,) = re.findall(r"([0-9.]+) [kM]B/s", row)
    assert float(speed) < 1000
    assert "GB/s" not in row


def test_bars_of_the_base_stay_above_those_of_the_whole_copy() -> None:
    """While the base is copied, the conversion goes on and writes its stages."""
    stream = Terminal()
    bars = Bars(stream, clock=ticking())
    bars(Event(kind=EventKind.STEP_STARTED, step=Step.CONVERT))
    bars(Event(kind=EventKind.STEP_STARTED, step=Step.COPY))
    bars(moved(1, GIB, 4 * GIB))
    bars(Event(kind=EventKind.MESSAGE, step=Step.CONVERT, text="Converting"))
    bars(Event(kind=EventKind.STEP_FINISHED, step=Step.CONVERT))
    bars(moved(1, 4 * GIB, 4 * GIB))
    bars(Event(kind=EventKind.STEP_FINISHED, step=Step.COPY))
    bars(Event(kind=EventKind.STEP_STARTED, step=Step.COPY))
    bars(moved(1, 4 * GIB, 5 * GIB))
    bars(moved(1, 5 * GIB, 5 * GIB))
    bars(Event(kind=EventKind.STEP_FINISHED, step=Step.COPY))
    base, whole = rows_drawn(120, stream.getvalue())
    assert "4.0/4.0 GiB" in base
    assert "5.0/5.0 GiB" in whole
    assert percentages(stream, "disk 1")[-1] == 100


def test_stages_of_the_conversion_scroll_above_the_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", screen)
    bars, plain = Bars(clock=ticking()), Plain("v2v", progress=False, clock=lambda: 0.0)

    def show(event: Event) -> None:
        plain(event)
        bars(event)

    show(moved(1, GIB, 4 * GIB))
    show(moved(2, GIB, 4 * GIB))
    show(Event(kind=EventKind.MESSAGE, step=Step.CONVERT, time=1.0, text="Converting Debian"))
    show(moved(1, 3 * GIB, 4 * GIB))
    show(Event(kind=EventKind.WARNING, step=Step.CONVERT, text="something of the guest"))
    bars.close()
    rows = rows_drawn(120, screen.getvalue())
    assert [row.split("━")[0].strip() for row in rows] == [
        "[   1.0] Converting Debian",
        "v2v: warning: something of the guest",
        "disk 1",
        "disk 2",
        "together",
    ]


def test_two_steps_may_report_at_the_same_time() -> None:
    stream = Terminal()
    bars = Bars(stream, clock=ticking())

    def report(disk: int) -> None:
        for done in range(200):
            bars(moved(disk, done, 200))

    threads = [threading.Thread(target=report, args=(disk,)) for disk in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bars.close()
    rows = rows_drawn(120, stream.getvalue())
    assert [row[:8].strip() for row in rows] == ["disk 1", "disk 2", "disk 3", "disk 4", "together"]
