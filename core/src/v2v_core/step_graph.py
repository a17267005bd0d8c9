# SPDX-License-Identifier: GPL-2.0-or-later
"""What each step needs, and what it makes out of date: the one place where that is declared.

The steps form a graph. An output can be set up before or after the conversion; a step that is run again makes void only
what was built on it. The state of a conversion directory is the record of begun and finished steps, folded over this
graph (``fold``); the report of a run reads its events by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from v2v_core.events import Step


@dataclass(frozen=True, kw_only=True)
class StepRule:
    """How a step depends on the others.

    :param needs: steps that must be finished, and still valid, before this one begins.
    :param voids: steps whose result no longer counts once this one begins.
    :param product: the file in the conversion directory that stands for the result of the step: another program may
        write it in place of the step. None if only the recorded end of the step counts.
    """

    needs: frozenset[Step] = frozenset()
    voids: frozenset[Step] = frozenset()
    product: str | None = None


RULES: dict[Step, StepRule] = {
    Step.INPUT_SETUP: StepRule(
        voids=frozenset({Step.OUTPUT_CHECK, Step.CONVERT, Step.OUTPUT_SETUP, Step.COPY, Step.OUTPUT_FINALIZE}),
        product="metadata.in",
    ),
    # a check changes nothing, so that it can be repeated at any time
    Step.OUTPUT_CHECK: StepRule(needs=frozenset({Step.INPUT_SETUP})),
    Step.CONVERT: StepRule(
        needs=frozenset({Step.INPUT_SETUP}),
        voids=frozenset({Step.COPY, Step.OUTPUT_FINALIZE}),
        product="metadata.out",
    ),
    Step.OUTPUT_SETUP: StepRule(
        needs=frozenset({Step.INPUT_SETUP}), voids=frozenset({Step.COPY, Step.OUTPUT_FINALIZE})
    ),
    Step.COPY: StepRule(
        needs=frozenset({Step.INPUT_SETUP, Step.OUTPUT_SETUP}), voids=frozenset({Step.OUTPUT_FINALIZE})
    ),
    Step.OUTPUT_FINALIZE: StepRule(needs=frozenset({Step.CONVERT, Step.OUTPUT_SETUP, Step.COPY})),
    # a cleanup must know what was done, and makes nothing void
    Step.CLEANUP: StepRule(),
}


#: The lock of the copy of the base (``CopyPass.BASE``). It is a part of step copy that can run beside the conversion,
#: and excludes whatever else the step excludes.
BASE_COPY = "copy_base"


def shared_with(step: Step, *, from_base: bool = False) -> tuple[str, ...]:
    """Return the names of the steps, and of ``BASE_COPY``, that must not run beside a step, apart from itself.

    :param from_base: the step is the copy of the base.
    """
    names = {other.value for other in RULES[step].voids}
    if step is not Step.CONVERT and Step.COPY in RULES[step].voids | {step} and not from_base:
        names.add(BASE_COPY)
    return tuple(sorted(names))


def fold(marks: Iterable[tuple[Step, bool]]) -> frozenset[Step]:
    """Return the steps whose result counts.

    :param marks: in order of time, each step with False where it began and True where it was finished.
    """
    done: set[Step] = set()
    for step, finished in marks:
        if finished:
            done.add(step)
        elif step is not Step.CLEANUP:
            done -= {step, *RULES[step].voids}
    return frozenset(done)
