# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs one step in this process, on a directory that a supervisor names. The helper commands do nothing else.

The directory is held for the step (``locks``), and this process becomes a process of the run, so that the cleanup finds
the programs that it starts. A process that converts several guests at once must not use this module, which changes
``os.environ``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from v2v_core import locks, processes
from v2v_core.conversion_dir import ConversionDir, temporary_path
from v2v_core.errors import UsageError, V2VError
from v2v_core.events import Event, EventSink, Step
from v2v_core.hookspecs import OutputResult, OwnedObject
from v2v_core.processes import STEP_VARIABLE
from v2v_core.reporting import forward
from v2v_core.settings import ConvertChoice, CopyChoice, InputChoice, OutputChoice
from v2v_core.steps import cleanup, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.convert_apart import convert_apart
from v2v_core.warden import warden

#: The records that a supervisor can pass to a step. ``output_finalize`` and ``cleanup`` take none.
StepChoice = InputChoice | OutputChoice | ConvertChoice | CopyChoice

#: The type of record that each step takes.
CHOICES: dict[Step, type[StepChoice] | None] = {
    Step.INPUT_SETUP: InputChoice,
    Step.OUTPUT_CHECK: OutputChoice,
    Step.CONVERT: ConvertChoice,
    Step.OUTPUT_SETUP: OutputChoice,
    Step.COPY: CopyChoice,
    Step.OUTPUT_FINALIZE: None,
    Step.CLEANUP: None,
}


def run_alone(
    path: Path, step: Step, choice: StepChoice | None = None, sinks: Sequence[EventSink] = ()
) -> OutputResult | None:
    """Run a step on a directory.

    :param choice: a record of the type that ``CHOICES`` names for the step.
    :return: what ``output_finalize`` created; None for all other steps.
    :raises UsageError: the directory does not exist, belongs to another user, or is in use; or the choice is one for
        another step.
    :raises V2VError: the step failed.
    """
    if step is Step.CLEANUP:
        clean_up_alone(path, sinks)
        return None
    wanted = CHOICES[step]
    if not (isinstance(choice, wanted) if wanted is not None else choice is None):
        raise UsageError(f"step {step.value} takes {wanted.__name__ if wanted else 'no choice'}, not {choice!r}")
    with holding(path, step, from_base=isinstance(choice, CopyChoice) and choice.from_base) as directory:
        match step, choice:
            case Step.INPUT_SETUP, InputChoice():
                input_setup.run(directory, choice, sinks)
            case Step.OUTPUT_CHECK, OutputChoice():
                output_check.run(directory, choice, sinks)
            case Step.CONVERT, ConvertChoice():
                convert_apart(directory, choice, sinks)
            case Step.OUTPUT_SETUP, OutputChoice():
                output_setup.run(directory, choice, sinks)
            case Step.COPY, CopyChoice():
                copy.run(directory, choice, sinks)
            case _:
                return output_finalize.run(directory, sinks)
    return None


def check_output_alone(path: Path | None, choice: OutputChoice, sinks: Sequence[EventSink] = ()) -> None:
    """Check an output: for the guest of a conversion directory, or as far as it goes without a guest.

    Nothing is created, and nothing is left.

    :param path: a conversion directory; None for a check without a guest.
    :raises UsageError: the directory does not exist, belongs to another user, or is in use.
    :raises V2VError: the output would fail.
    """
    if path is not None:
        with holding(path, Step.OUTPUT_CHECK) as directory:
            if directory.metadata_in.exists():
                output_check.run(directory, choice, sinks)
            else:
                output_check.precheck(directory, choice, sinks)
        return
    place = temporary_path()
    with warden(place, ""):
        directory = ConversionDir.temporary(place)
        try:
            output_check.precheck(directory, choice, [_without_log(sinks)])
        except V2VError as err:
            err.__notes__ = []
            raise
        finally:
            clean_up_alone(directory.path, ())


def _without_log(sinks: Sequence[EventSink]) -> EventSink:
    """Return a listener that passes on events without the name of a log that is about to be removed."""

    def sink(event: Event) -> None:
        forward(dataclasses.replace(event, log=None), sinks)

    return sink


@contextlib.contextmanager
def holding(path: Path, step: Step, *, from_base: bool = False) -> Iterator[ConversionDir]:
    """Open a directory for a step and hold it; only ``input_setup`` makes one where there is none.

    :param from_base: the step is the copy of the base, which may run beside the conversion.
    :raises UsageError: there is none, it belongs to another user, or it is in use.
    """
    if step is not Step.INPUT_SETUP and not path.is_dir():
        raise UsageError(f"{path} does not exist", hint="name the directory that the input step was given with --dir")
    directory = ConversionDir.open_or_create(path)
    with locks.held_for_a_step(directory, step, from_base=from_base):
        os.environ.update({**directory.environment, STEP_VARIABLE: step.value})
        # an earlier process of this step may have been killed, and its converter may still write the same disks
        processes.stop(directory.path, processes.works_for(step))
        yield directory


def clean_up_alone(path: Path, sinks: Sequence[EventSink] = ()) -> tuple[OwnedObject, ...]:
    """Stop the steps that still work on a directory, take back what they created, and remove it.

    A directory that does not exist is cleaned up already.

    :return: what could not be deleted; the directory is kept then, for the next cleanup.
    :raises UsageError: it is not a conversion directory, belongs to another user, or a whole run works on it.
    :raises V2VError: it cannot be removed.
    """
    if not path.exists():
        return ()
    directory = ConversionDir.existing(path)
    locks.refuse_if_a_run_works_on(directory)
    processes.stop(directory.path, processes.is_gone_with_the_run)
    with locks.held_for_cleanup(directory):
        return cleanup.run(directory, sinks)
