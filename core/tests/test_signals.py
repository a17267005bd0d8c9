# SPDX-License-Identifier: GPL-2.0-or-later
"""A signal may arrive at any moment, even in library code. It is always reported as a signal."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import FrameType

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CopyError, Interrupted
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import CopyResult
from v2v_core.reporting import forward, running
from v2v_core.signals import interruption, signals_interrupt
from v2v_core.steps.copy import wait_for


@pytest.fixture(autouse=True)
def _source_is_set_up(v2v_directory: ConversionDir) -> None:
    """Mark the steps as done that the steps in these tests need."""
    for step in (Step.INPUT_SETUP, Step.OUTPUT_SETUP):
        v2v_directory.mark_done(step)


def signal_in_a_lock(error: Callable[[], Exception]) -> None:
    """Fail like library code in which a signal arrives."""
    try:
        os.kill(os.getpid(), signal.SIGHUP)
        signal.sigtimedwait([], 5)  # the signal has arrived by then
    finally:
        raise error()


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_error_that_was_a_signal_is_reported_as_one(v2v_directory: ConversionDir, error: type[Exception]) -> None:
    heard: list[Event] = []
    with (
        signals_interrupt(),
        pytest.raises(Interrupted, match=r"^stopped by SIGHUP"),
        running(v2v_directory, Step.COPY, [heard.append]),
    ):
        signal_in_a_lock(lambda: error("release unlocked lock"))
    assert heard[-1].kind is EventKind.STEP_FAILED
    assert heard[-1].code == 130
    assert "release unlocked lock" in v2v_directory.log(Step.COPY).read_text()


def test_error_after_the_signal_is_reported_too(v2v_directory: ConversionDir) -> None:
    with signals_interrupt(), pytest.raises(Interrupted) as stopped, running(v2v_directory, Step.COPY, []):
        signal_in_a_lock(lambda: CopyError("disk 1 is still being written", disk=1))
    assert "disk 1 is still being written" in stopped.value.__notes__


def test_error_that_was_a_signal_between_the_steps() -> None:
    with pytest.raises(Interrupted, match=r"^stopped by SIGHUP"), signals_interrupt():
        signal_in_a_lock(lambda: RuntimeError("release unlocked lock"))


def test_error_in_a_cleanup_is_reported_as_itself(v2v_directory: ConversionDir) -> None:
    """It is raised while the signal is being handled, so its context holds the signal."""
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        with pytest.raises(CopyError), running(v2v_directory, Step.CLEANUP, []):
            raise CopyError("disk 1 is still there", disk=1) from None


def test_error_in_a_cleanup_of_core_is_reported_as_itself(v2v_directory: ConversionDir) -> None:
    with signals_interrupt():
        try:
            with running(v2v_directory, Step.COPY, []):
                signal_in_a_lock(lambda: RuntimeError("release unlocked lock"))
        except Interrupted:
            with (
                pytest.raises(CopyError, match=r"^disk 1 is still there"),
                running(v2v_directory, Step.CLEANUP, []),
            ):
                raise CopyError("disk 1 is still there", disk=1) from None


def test_signal_that_a_listener_turns_into_an_error_is_not_lost(v2v_directory: ConversionDir) -> None:
    def listener(event: Event) -> None:
        if event.kind is EventKind.MESSAGE:
            signal_in_a_lock(lambda: RuntimeError("release unlocked lock"))

    with signals_interrupt(), pytest.raises(Interrupted), running(v2v_directory, Step.COPY, [listener]) as report:
        report.message("Copying disk 1/1")
        raise AssertionError("went on")


def test_failure_of_a_listener_while_a_signal_is_handled_is_only_logged() -> None:
    def listener(_event: Event) -> None:
        raise RuntimeError("deaf")

    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert len(forward(Event(kind=EventKind.MESSAGE, step=Step.COPY), [listener])) == 1


def test_other_errors_are_not_signals() -> None:
    assert interruption(RuntimeError("oops")) is None


@contextlib.contextmanager
def interrupt_at(number: int) -> Iterator[list[int]]:
    """Raise KeyboardInterrupt at one of the instructions of the block, counted from 0, and count them."""
    counter = itertools.count()
    passed = [0]

    def trace(frame: FrameType, event: str, _arg: object) -> object:
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed[0] = next(counter)
            if passed[0] == number:
                raise KeyboardInterrupt("stopped by SIGHUP")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield passed
    finally:
        sys.settrace(before)


def test_signal_at_any_moment_of_waiting_for_copies() -> None:
    """At each instruction in turn: KeyboardInterrupt is raised, and no thread that still copies is held up."""
    result = CopyResult(index=1, size=0)
    interrupted = 0
    for number in itertools.count():
        outcomes: SimpleQueue[CopyResult | BaseException] = SimpleQueue()
        copying = threading.Timer(0.01, outcomes.put, [result])
        copying.start()
        try:
            with interrupt_at(number) as passed:
                assert list(wait_for(outcomes, 1)) == [result]
        except BaseException as err:
            assert type(err) is KeyboardInterrupt, f"at instruction {number}: {err!r}"
            interrupted += 1
        copying.join(timeout=5)
        assert not copying.is_alive(), f"at instruction {number}: the thread is held up"
        if passed[0] < number:
            break
    assert interrupted > 20


def test_where_the_logs_are_is_not_lost_with_the_interruption() -> None:
    """The note is made for the exception that passes by, and the user sees another one."""
    with pytest.raises(Interrupted) as stopped, signals_interrupt():
        error = KeyboardInterrupt("stopped by SIGTERM")
        error.add_note("logs: /somewhere")
        raise error
    assert (stopped.value.message, stopped.value.__notes__) == ("stopped by SIGTERM", ["logs: /somewhere"])
