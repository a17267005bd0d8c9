# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole conversion of one guest: the steps in their order, and what holds them together.

This is one supervisor among others: it uses nothing but the steps and the conversion directory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from v2v_core import overlap, run_record, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import fence
from v2v_core.copying.ends import PLACE
from v2v_core.deep_inspection import InspectResult
from v2v_core.discovery import Role
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.first_boot import FirstBootStatus
from v2v_core.hookspecs import OutputResult
from v2v_core.model import Guest
from v2v_core.nic_mapping import with_given
from v2v_core.plugins import load_plugin
from v2v_core.reporting import forward
from v2v_core.resume import Again, prepare
from v2v_core.run_directory import AtEnd, kept_directory, run_directory
from v2v_core.run_report import read_report
from v2v_core.served import ServedSource
from v2v_core.settings import RunChoice
from v2v_core.steps import copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.convert_apart import convert_apart, first_boot_apart, inspect_apart
from v2v_core.steps.output_choice import settings_of
from v2v_core.take_over import take_over as take_directory_over

ResultT = TypeVar("ResultT")


def run(choice: RunChoice, sinks: Sequence[EventSink] = (), *, at_end: AtEnd | None = None) -> OutputResult:
    """Convert a guest, from input setup to cleanup.

    :param at_end: called before the cleanup, however the run ends, with the directory as the steps left it.

    :raises V2VError: a step failed. Nothing is left behind, neither here nor at the destination, unless a warning names
        it. A directory that the choice names is kept, with all that ``resume`` needs.
    """
    # an unknown mode, or a setting that makes no sense, is found before anything is done
    settings_of(load_plugin(Role.OUTPUT, choice.output.mode), choice.output, choice.output.name or "")
    if choice.copy.mode is not None:
        load_plugin(Role.COPY, choice.copy.mode)
    _check_settings(choice)
    sinks = (*sinks, *_observers(choice.observers))
    with run_directory(choice, sinks, at_end, resumable=True) as (directory, sinks):
        result = _from_the_beginning(directory, choice, sinks)
    forward(Event(kind=EventKind.MESSAGE, step=Step.CLEANUP, text="Finishing off"), sinks)
    return result


def resume(
    path: Path,
    given: Again,
    sinks: Sequence[EventSink] = (),
    *,
    take_over: bool = False,
    at_end: AtEnd | None = None,
) -> OutputResult:
    """Go on with a run of which the user has named the directory, and which failed or was killed.

    :param given: what the user gives again, or otherwise, this time.
    :param take_over: kill the process that holds the directory, which hangs.
    :param at_end: as for ``run``.

    :raises UsageError: there is nothing to go on with, a secret was not given again, or another process works on it.
    :raises V2VError: a step failed. The directory is kept.
    """
    directory = ConversionDir.existing(path)
    choice = given.applied_to(run_record.read(directory))
    _check_settings(choice)
    sinks = (*sinks, *_observers(choice.observers))
    if take_over:
        take_directory_over(directory)
    with kept_directory(directory, sinks, at_end) as listeners:
        # read again: the run may have ended while this one waited for the lock
        record = run_record.read(directory)
        fence.raise_epoch(directory.path / PLACE)
        done = prepare(directory, choice, record, listeners)
        run_record.write(directory, choice, record.place)
        if Step.INPUT_SETUP not in done:
            result = _from_the_beginning(directory, choice, listeners)
        elif Step.OUTPUT_FINALIZE in done:
            result = OutputResult(created=read_report(directory.path).created)
        else:
            result = _the_rest(directory, choice, listeners, done)
    forward(Event(kind=EventKind.MESSAGE, step=Step.CLEANUP, text="Finishing off"), sinks)
    return result


def _from_the_beginning(directory: ConversionDir, choice: RunChoice, sinks: Sequence[EventSink]) -> OutputResult:
    # what does not need the guest comes first: opening a source can mean hours of unpacking and of checksums
    output_check.precheck(directory, choice.output, sinks, source=choice.input)
    output_check.reserve(directory, sinks)
    input_setup.run(directory, choice.input, sinks)
    output_check.run(directory, choice.output, sinks)
    output_check.reserve(directory, sinks)
    return _the_rest(directory, choice, sinks, frozenset())


def _the_rest(
    directory: ConversionDir, choice: RunChoice, sinks: Sequence[EventSink], done: frozenset[Step]
) -> OutputResult:
    """Run the steps after the checks.

    :param done: those of them that an interrupted run has finished, and whose results are there.
    """
    if Step.CONVERT not in done:
        nics = with_given(choice.convert.nics, choice.input.hardware.nics or ())
        conversion = dataclasses.replace(choice.convert, nics=nics)
        if overlap.is_wanted(directory, choice.copy):
            if Step.OUTPUT_SETUP not in done:
                output_setup.run(directory, choice.output, sinks)
                done |= {Step.OUTPUT_SETUP}
            overlap.convert_beside_copy(directory, conversion, choice.copy, sinks)
        else:
            convert_apart(directory, conversion, sinks)
    if Step.OUTPUT_SETUP not in done:
        output_setup.run(directory, choice.output, sinks)
    if Step.COPY not in done:
        copy.run(directory, choice.copy, sinks)
    return output_finalize.run(directory, sinks)


def convert_in_place(choice: RunChoice, sinks: Sequence[EventSink] = (), *, at_end: AtEnd | None = None) -> None:
    """Convert a guest where it is: input setup without an overlay, then the conversion.

    :param at_end: as for ``run``.

    :raises V2VError: a step failed. The guest may be half converted then, and there is no way back.
    """
    _check_settings(choice)
    sinks = (*sinks, *_observers(choice.observers))
    with run_directory(choice, sinks, at_end) as (directory, sinks):
        input_setup.run(directory, choice.input, sinks)
        convert_apart(directory, choice.convert, sinks)


def print_source(choice: RunChoice, sinks: Sequence[EventSink] = ()) -> Guest:
    """Return the metadata of the source, without converting anything.

    :raises V2VError: the source cannot be used.
    """
    with run_directory(choice, sinks) as (directory, listeners):
        return input_setup.run(directory, choice.input, listeners, metadata_only=True)


def look_at_disks(
    choice: RunChoice, look: Callable[[ServedSource, Path], ResultT], sinks: Sequence[EventSink] = ()
) -> ResultT:
    """Serve the disks of a source, and return what a function returns that looks at them. Nothing is changed.

    :param look: gets the disks, and a directory for its temporary files.
    :raises V2VError: the source cannot be used.
    """
    load_plugin(Role.INPUT, choice.input.mode).check_options(choice.input.options)
    with run_directory(choice, sinks) as (directory, listeners):
        input_setup.run(directory, choice.input, listeners)
        return look(served.read_source(directory), directory.overlay)


def _check_settings(choice: RunChoice) -> None:
    """Find settings of the input and of the converter that make no sense.

    :raises V2VError: there is one, or no such plugin.
    """
    load_plugin(Role.INPUT, choice.input.mode).check_options(choice.input.options)
    load_plugin(Role.CONVERT, choice.convert.mode).convert_check(choice.convert.settings)


def inspect_deeply(choice: RunChoice, sinks: Sequence[EventSink] = ()) -> tuple[Guest, InspectResult]:
    """Return the metadata of the source, and what the converter finds in its disks, without changing the source.

    :raises V2VError: the source cannot be used, or the converter cannot look into it. What keeps the guest from being
        converted is in the result.
    """
    _check_settings(choice)
    load_plugin(Role.CONVERT, choice.convert.mode).require_inspect()
    with run_directory(choice, sinks) as (directory, listeners):
        guest = input_setup.run(directory, choice.input, listeners)
        return guest, inspect_apart(directory, choice.convert, listeners)


def read_first_boot(choice: RunChoice, sinks: Sequence[EventSink] = ()) -> FirstBootStatus:
    """Return how the first boots of a converted guest went, as it has written it down, without changing its disks.

    :raises V2VError: the disks cannot be used, or the converter cannot look into them.
    """
    _check_settings(choice)
    load_plugin(Role.CONVERT, choice.convert.mode).require_first_boot()
    with run_directory(choice, sinks) as (directory, listeners):
        input_setup.run(directory, choice.input, listeners)
        return first_boot_apart(directory, choice.convert, listeners)


def _observers(names: Sequence[str]) -> list[EventSink]:
    return [load_plugin(Role.OBSERVER, name).event for name in names]
