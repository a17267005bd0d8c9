# SPDX-License-Identifier: GPL-2.0-or-later
"""When the copy of the base may begin, by what the events say about the conversion."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest

from v2v_core import locks
from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import Event, EventKind, Step
from v2v_core.reporting import StepReport
from v2v_core.steps.trimming import Trimming, wait_for_trimming

Say = Callable[..., None]
STARTED, TRIMMED, FINISHED, FAILED = (
    EventKind.STEP_STARTED,
    EventKind.TRIMMED,
    EventKind.STEP_FINISHED,
    EventKind.STEP_FAILED,
)


@pytest.fixture
def say(v2v_directory: ConversionDir) -> Say:
    def emit(*kinds: EventKind, step: Step = Step.CONVERT) -> None:
        with closing(StepReport(v2v_directory, step, [])) as report:
            for kind in kinds:
                report.emit(Event(kind=kind, step=step))

    return emit


def never() -> bool:
    return False


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((STARTED, TRIMMED), Trimming.DONE),
        ((STARTED, TRIMMED, FAILED), Trimming.DONE),
        ((STARTED, FINISHED), Trimming.DONE),
        ((STARTED, FAILED, STARTED, TRIMMED), Trimming.DONE),
        # no conversion, or one that had failed before, and none that begins
        ((), Trimming.NONE),
        ((STARTED, FAILED), Trimming.NONE),
        # killed: it holds no lock any more
        ((STARTED,), Trimming.FAILED),
        ((STARTED, TRIMMED, FINISHED, STARTED), Trimming.FAILED),
    ],
)
def test_events_so_far_decide(
    v2v_directory: ConversionDir, say: Say, kinds: tuple[EventKind, ...], expected: Trimming
) -> None:
    say(*kinds)
    assert wait_for_trimming(v2v_directory, never, patience=0.3) is expected


def test_trimming_of_another_source_does_not_count(v2v_directory: ConversionDir, say: Say) -> None:
    say(STARTED, TRIMMED)
    say(STARTED, step=Step.INPUT_SETUP)
    assert wait_for_trimming(v2v_directory, never, patience=0.3) is Trimming.NONE


@pytest.mark.parametrize(("kind", "expected"), [(TRIMMED, Trimming.DONE), (FAILED, Trimming.FAILED)])
def test_conversion_that_runs_is_waited_for(
    v2v_directory: ConversionDir, say: Say, kind: EventKind, expected: Trimming
) -> None:
    with locks.held_for_a_step(v2v_directory, Step.CONVERT):
        say(STARTED)
        timer = threading.Timer(1.0, say, [kind])
        timer.start()
        begun = time.monotonic()
        # much less than the conversion takes
        assert wait_for_trimming(v2v_directory, never, patience=0.1) is expected
        assert time.monotonic() - begun >= 0.9
        timer.join()


def test_conversion_that_begins_a_little_later_is_waited_for(v2v_directory: ConversionDir, say: Say) -> None:
    timer = threading.Timer(0.3, say, [STARTED, TRIMMED])
    timer.start()
    assert wait_for_trimming(v2v_directory, never, patience=5.0) is Trimming.DONE
    timer.join()


def test_waiting_ends_when_it_is_told_to(v2v_directory: ConversionDir, say: Say) -> None:
    stopped = threading.Event()
    with locks.held_for_a_step(v2v_directory, Step.CONVERT):
        say(STARTED)
        timer = threading.Timer(0.3, stopped.set)
        timer.start()
        assert wait_for_trimming(v2v_directory, stopped.is_set, patience=0.1) is Trimming.WAITING
        timer.join()
