# SPDX-License-Identifier: GPL-2.0-or-later
"""One conversion at a time in a directory, by locks that end with their process."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from v2v_core import locks
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Step

#: Neither step makes void what the other does. A check of the output changes nothing.
SIDE_BY_SIDE = {
    frozenset((Step.CONVERT, Step.OUTPUT_SETUP)),
    *(
        frozenset((Step.OUTPUT_CHECK, other))
        for other in (Step.CONVERT, Step.OUTPUT_SETUP, Step.COPY, Step.OUTPUT_FINALIZE)
    ),
}
_HOLD = """
import sys
from pathlib import Path
from v2v_core import locks
from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import Step
directory = ConversionDir.existing(Path(sys.argv[1]))
what = sys.argv[2]
with locks.held_for_a_run(directory, "a") if what == "run" else locks.held_for_a_step(directory, Step(what)):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(directory: ConversionDir, what: str) -> Iterator[subprocess.Popen[str]]:
    """Hold a directory in another process while the block runs."""
    argv = [sys.executable, "-P", "-c", _HOLD, str(directory.path), what]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_two_runs_in_one_directory_are_refused_and_the_holder_is_named(v2v_directory: ConversionDir) -> None:
    with (
        holder(v2v_directory, "run") as other,
        pytest.raises(UsageError, match=f"is in use: process {other.pid} runs a conversion in it") as refused,
        locks.held_for_a_run(v2v_directory, "b"),
    ):
        pass
    assert "--dir" in (refused.value.hint or "")


def test_a_killed_holder_holds_nothing(v2v_directory: ConversionDir) -> None:
    with holder(v2v_directory, "run") as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        with locks.held_for_a_run(v2v_directory, "b"):
            assert locks.is_still_the_run_of(v2v_directory.path, "b")
            assert not locks.is_still_the_run_of(v2v_directory.path, "a")


@pytest.mark.parametrize("base_first", [False, True])
@pytest.mark.parametrize("other", list(Step)[:-1])
def test_copy_of_the_base_runs_beside_the_conversion_and_beside_checks_only(
    v2v_directory: ConversionDir, other: Step, base_first: bool
) -> None:
    base = functools.partial(locks.held_for_a_step, v2v_directory, Step.COPY, from_base=True)
    step = functools.partial(locks.held_for_a_step, v2v_directory, other)
    first, second = (base, step) if base_first else (step, base)
    with first():
        if other in {Step.CONVERT, Step.OUTPUT_CHECK}:
            with second():
                pass
        else:
            with pytest.raises(UsageError, match="is in use"), second():
                pass


def test_two_copies_of_the_base_are_refused(v2v_directory: ConversionDir) -> None:
    with (
        locks.held_for_a_step(v2v_directory, Step.COPY, from_base=True),
        pytest.raises(UsageError, match="runs step copy --from base in it"),
        locks.held_for_a_step(v2v_directory, Step.COPY, from_base=True),
    ):
        pass


@pytest.mark.parametrize("other", list(Step)[:-1])
@pytest.mark.parametrize("step", list(Step)[:-1])
def test_steps_run_side_by_side_unless_one_makes_the_other_void(
    v2v_directory: ConversionDir, step: Step, other: Step
) -> None:
    with locks.held_for_a_step(v2v_directory, other):
        if frozenset((step, other)) not in SIDE_BY_SIDE:
            with pytest.raises(UsageError, match="is in use"), locks.held_for_a_step(v2v_directory, step):
                pass
        else:
            with locks.held_for_a_step(v2v_directory, step):
                assert locks.is_worked_on(v2v_directory, step)
    assert not locks.is_worked_on(v2v_directory, step)


def test_cleanup_is_refused_while_a_run_works_and_not_while_a_step_does(v2v_directory: ConversionDir) -> None:
    with holder(v2v_directory, "run"), pytest.raises(UsageError, match="is in use"):
        locks.refuse_if_a_run_works_on(v2v_directory)
    with holder(v2v_directory, "convert"):
        locks.refuse_if_a_run_works_on(v2v_directory)


def test_a_lock_is_not_inherited_by_what_a_step_starts(v2v_directory: ConversionDir) -> None:
    with locks.held_for_a_run(v2v_directory, "a"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with locks.held_for_a_run(v2v_directory, "b"):
            pass
    finally:
        child.kill()
        child.wait()
