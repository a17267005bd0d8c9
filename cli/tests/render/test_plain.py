# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that people and supervisors read."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest

from v2v_cli.render.plain import Plain
from v2v_core.events import Event, EventKind, Step


class Screen:
    """A renderer with two streams of its own; it starts at second 100."""

    def __init__(self, **options: Any) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.plain = Plain("virt-v2v", stdout=self.out, stderr=self.err, clock=lambda: 100.0, **options)

    def show(
        self, kind: EventKind, text: str = "", *, step: Step = Step.COPY, time: float = 100.0, **rest: Any
    ) -> None:
        self.plain(Event(kind=kind, step=step, text=text, time=time, **rest))


def test_stage_lines_carry_seconds_since_the_start() -> None:
    screen = Screen()
    screen.show(EventKind.MESSAGE, "Setting up the source: -i disk a.img")
    screen.show(EventKind.MESSAGE, "Copying disk 1/2", time=112.34)
    screen.show(EventKind.MESSAGE, "Finishing off", time=1334.56)
    assert screen.out.getvalue() == (
        "[   0.0] Setting up the source: -i disk a.img\n[  12.3] Copying disk 1/2\n[1234.6] Finishing off\n"
    )
    assert screen.err.getvalue() == ""


def test_infos_and_warnings_are_on_stdout() -> None:
    screen = Screen(quiet=True)
    screen.show(EventKind.MESSAGE, "not shown")
    screen.show(EventKind.INFO, "The QEMU Guest Agent is there")
    screen.show(EventKind.WARNING, "no space", hint="make some")
    assert screen.out.getvalue() == (
        "virt-v2v: The QEMU Guest Agent is there\nvirt-v2v: warning: no space\nhint: make some\n"
    )


def test_progress_has_the_form_that_supervisors_look_for() -> None:
    screen = Screen()
    for done in (0, 1, 2, 500, 1000):
        screen.show(EventKind.PROGRESS, done=done, total=1000, disk=1)
    lines = screen.err.getvalue().splitlines()
    assert lines == [
        "    0% [" + "-" * 40 + "]",
        "   50% [" + "*" * 20 + "-" * 20 + "]",
        "  100% [" + "*" * 40 + "]",
    ]
    # the pattern that forklift's monitor uses
    assert all(re.search(r".+ (\d+)% \[[*-]+\]", line) for line in lines)


def test_progress_of_other_steps_or_without_a_total_is_not_shown() -> None:
    screen = Screen()
    screen.show(EventKind.PROGRESS, done=1, total=2, step=Step.CONVERT)
    screen.show(EventKind.PROGRESS, done=1, total=0, disk=1)
    assert screen.err.getvalue() == ""


def percentages(screen: Screen) -> list[str]:
    return re.findall(r"^ +([0-9]+)% ", screen.err.getvalue(), re.MULTILINE)


def test_a_disk_without_data_is_complete() -> None:
    screen = Screen()
    screen.show(EventKind.PROGRESS, done=0, total=0, disk=1)
    assert percentages(screen) == ["100"]


def test_a_total_that_grows_does_not_count_backwards() -> None:
    screen = Screen()
    for done, total in ((50, 100), (60, 200), (90, 200), (120, 200), (200, 200)):
        screen.show(EventKind.PROGRESS, done=done, total=total, disk=1)
    assert percentages(screen) == ["50", "60", "100"]


def test_the_second_copy_of_a_run_counts_anew() -> None:
    screen = Screen()
    screen.show(EventKind.PROGRESS, done=100, total=100, disk=1)
    screen.show(EventKind.STEP_STARTED)
    screen.show(EventKind.PROGRESS, done=100, total=105, disk=1)
    screen.show(EventKind.PROGRESS, done=105, total=105, disk=1)
    assert percentages(screen) == ["100", "95", "100"]


@pytest.mark.parametrize("options", [{"quiet": True}, {"progress": False}])
def test_progress_can_be_left_to_others(options: dict[str, bool]) -> None:
    screen = Screen(**options)
    screen.show(EventKind.PROGRESS, done=1, total=2, disk=1)
    assert screen.err.getvalue() == ""


def test_steps_are_for_debugging() -> None:
    silent, verbose = Screen(), Screen(verbose=True)
    for screen in (silent, verbose):
        screen.show(EventKind.STEP_STARTED)
        screen.show(EventKind.STEP_FAILED, "lost", disk=2, log="/d/log/copy.log")
    assert silent.err.getvalue() == ""
    assert verbose.err.getvalue() == (
        "virt-v2v: debug: step started copy\nvirt-v2v: debug: step failed copy disk 2: lost (log: /d/log/copy.log)\n"
    )


def test_changes_are_for_debugging() -> None:
    silent, verbose = Screen(), Screen(verbose=True)
    for screen in (silent, verbose):
        screen.show(EventKind.CHANGE, "/etc/f\u202estab: new names (why)", step=Step.CONVERT)
    assert silent.err.getvalue() + silent.out.getvalue() == ""
    shown = "virt-v2v: debug: change convert: /etc/f\N{REPLACEMENT CHARACTER}stab: new names (why)\n"
    assert verbose.err.getvalue() == shown


def test_guest_cannot_talk_to_the_terminal() -> None:
    screen = Screen(verbose=True)
    for kind in EventKind:
        screen.show(kind, "a\x1b[2Jb\nc\u202ed", done=1, total=2, log="\x07")
    shown = screen.out.getvalue() + screen.err.getvalue()
    assert not set("\x1b\x07\u202e") & set(shown)
    assert "virt-v2v: warning: a\N{REPLACEMENT CHARACTER}[2Jb c\N{REPLACEMENT CHARACTER}d\n" in shown


def test_colors_and_wrapping_on_request() -> None:
    screen = Screen(color=True, wrap=True)
    screen.show(EventKind.WARNING, "word " * 20)
    lines = screen.out.getvalue().splitlines()
    assert lines[0].startswith("\x1b[34mvirt-v2v: warning: word")
    assert len(lines) == 2
    assert lines[1].endswith("\x1b[0m")
