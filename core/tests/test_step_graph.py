# SPDX-License-Identifier: GPL-2.0-or-later
"""What a step makes out of date, and what it needs."""

from __future__ import annotations

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import Step
from v2v_core.step_graph import RULES, fold

DOCUMENTED = (Step.INPUT_SETUP, Step.CONVERT, Step.OUTPUT_CHECK, Step.OUTPUT_SETUP, Step.COPY, Step.OUTPUT_FINALIZE)
OUTPUT_FIRST = (Step.INPUT_SETUP, Step.OUTPUT_CHECK, Step.OUTPUT_SETUP, Step.CONVERT, Step.COPY, Step.OUTPUT_FINALIZE)
PIPELINE = tuple(Step)[:-1]


def marks(*steps: Step) -> list[tuple[Step, bool]]:
    return [mark for step in steps for mark in ((step, False), (step, True))]


@pytest.mark.parametrize("order", [DOCUMENTED, OUTPUT_FIRST, PIPELINE])
def test_nothing_is_forgotten_in_any_order_of_the_steps(v2v_directory: ConversionDir, order: tuple[Step, ...]) -> None:
    for number, step in enumerate(order):
        v2v_directory.require(step)
        v2v_directory.mark_begun(step)
        v2v_directory.mark_done(step)
        assert v2v_directory.done() == set(order[: number + 1])


def test_a_step_that_begins_again_makes_void_only_what_was_built_on_it() -> None:
    assert fold([*marks(*PIPELINE), (Step.OUTPUT_CHECK, False)]) == set(PIPELINE) - {Step.OUTPUT_CHECK}
    assert fold([*marks(*PIPELINE), (Step.OUTPUT_SETUP, False)]) == {Step.INPUT_SETUP, Step.OUTPUT_CHECK, Step.CONVERT}
    assert fold([*marks(*PIPELINE), (Step.CONVERT, False)]) == {Step.INPUT_SETUP, Step.OUTPUT_CHECK, Step.OUTPUT_SETUP}
    assert fold([*marks(*PIPELINE), (Step.INPUT_SETUP, False)]) == set()
    assert fold([*marks(*PIPELINE), *marks(Step.CLEANUP)]) == set(Step)


@pytest.mark.parametrize("step", [step for step, rule in RULES.items() if rule.needs])
def test_a_step_without_what_it_needs_is_refused_by_name(v2v_directory: ConversionDir, step: Step) -> None:
    first = next(needed for needed in Step if needed in RULES[step].needs)
    with pytest.raises(UsageError, match=f"step {step.value} needs step {first.value}, which was not run"):
        v2v_directory.require(step)


def test_metadata_of_another_supervisor_stands_for_the_steps(v2v_directory: ConversionDir) -> None:
    v2v_directory.metadata_in.touch()
    v2v_directory.require(Step.CONVERT)
    v2v_directory.metadata_out.touch()
    with pytest.raises(UsageError, match="needs step output_setup"):
        v2v_directory.require(Step.OUTPUT_FINALIZE)


def test_marks_of_two_processes_are_both_kept_and_a_cut_line_is_ignored(v2v_directory: ConversionDir) -> None:
    v2v_directory.mark_done(Step.INPUT_SETUP)
    with (v2v_directory.path / "state.jsonl").open("a") as stream:
        stream.write('{"step": "convert", "fini')
    ConversionDir.existing(v2v_directory.path).mark_done(Step.OUTPUT_CHECK)
    assert v2v_directory.done() == {Step.INPUT_SETUP, Step.OUTPUT_CHECK}
