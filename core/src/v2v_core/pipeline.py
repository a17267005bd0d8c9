# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole conversion of one guest: the steps in their order, and what holds them together.

This is one supervisor among others: it uses nothing but the steps and the conversion directory.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from v2v_core import kept_logs, locks, processes, served
from v2v_core.conversion_dir import ConversionDir, temporary_path
from v2v_core.deep_inspection import InspectResult
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.first_boot import FirstBootStatus
from v2v_core.hookspecs import OutputResult
from v2v_core.model import Guest
from v2v_core.nic_mapping import with_given
from v2v_core.plugins import load_plugin
from v2v_core.reporting import forward
from v2v_core.served import ServedSource
from v2v_core.settings import RunChoice
from v2v_core.signals import signals_interrupt, signals_wait
from v2v_core.steps import cleanup, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.convert_apart import convert_apart, first_boot_apart, inspect_apart
from v2v_core.steps.output_choice import settings_of
from v2v_core.warden import warden

ResultT = TypeVar("ResultT")


def run(
    choice: RunChoice, sinks: Sequence[EventSink] = (), *, at_end: Callable[[ConversionDir], None] | None = None
) -> OutputResult:
    """Convert a guest, from input setup to cleanup.

    :param at_end: called before the cleanup, however the run ends, with the directory as the steps left it.

    :raises V2VError: a step failed. Nothing is left behind, neither here nor at the destination, unless a warning names
        it.
    """
    # an unknown mode, or a setting that makes no sense, is found before anything is done
    settings_of(load_plugin(Role.OUTPUT, choice.output.mode), choice.output, choice.output.name or "")
    if choice.copy.mode is not None:
        load_plugin(Role.COPY, choice.copy.mode)
    _check_settings(choice)
    sinks = (*sinks, *_observers(choice.observers))
    nics = with_given(choice.convert.nics, choice.input.hardware.nics or ())
    with _run_directory(choice, sinks, at_end) as (directory, sinks):
        # what does not need the guest comes first: opening a source can mean hours of unpacking and of checksums
        output_check.precheck(directory, choice.output, sinks, source=choice.input)
        output_check.reserve(directory, sinks)
        input_setup.run(directory, choice.input, sinks)
        output_check.run(directory, choice.output, sinks)
        output_check.reserve(directory, sinks)
        convert_apart(directory, dataclasses.replace(choice.convert, nics=nics), sinks)
        output_setup.run(directory, choice.output, sinks)
        copy.run(directory, choice.copy, sinks)
        result = output_finalize.run(directory, sinks)
    forward(Event(kind=EventKind.MESSAGE, step=Step.CLEANUP, text="Finishing off"), sinks)
    return result


def convert_in_place(
    choice: RunChoice, sinks: Sequence[EventSink] = (), *, at_end: Callable[[ConversionDir], None] | None = None
) -> None:
    """Convert a guest where it is: input setup without an overlay, then the conversion.

    :param at_end: as for ``run``.

    :raises V2VError: a step failed. The guest may be half converted then, and there is no way back.
    """
    _check_settings(choice)
    sinks = (*sinks, *_observers(choice.observers))
    with _run_directory(choice, sinks, at_end) as (directory, sinks):
        input_setup.run(directory, choice.input, sinks)
        convert_apart(directory, choice.convert, sinks)


def print_source(choice: RunChoice, sinks: Sequence[EventSink] = ()) -> Guest:
    """Return the metadata of the source, without converting anything.

    :raises V2VError: the source cannot be used.
    """
    with _run_directory(choice, sinks) as (directory, listeners):
        return input_setup.run(directory, choice.input, listeners, metadata_only=True)


def look_at_disks(
    choice: RunChoice, look: Callable[[ServedSource, Path], ResultT], sinks: Sequence[EventSink] = ()
) -> ResultT:
    """Serve the disks of a source, and return what a function returns that looks at them. Nothing is changed.

    :param look: gets the disks, and a directory for its temporary files.
    :raises V2VError: the source cannot be used.
    """
    load_plugin(Role.INPUT, choice.input.mode).check_options(choice.input.options)
    with _run_directory(choice, sinks) as (directory, listeners):
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
    with _run_directory(choice, sinks) as (directory, listeners):
        guest = input_setup.run(directory, choice.input, listeners)
        return guest, inspect_apart(directory, choice.convert, listeners)


def read_first_boot(choice: RunChoice, sinks: Sequence[EventSink] = ()) -> FirstBootStatus:
    """Return how the first boots of a converted guest went, as it has written it down, without changing its disks.

    :raises V2VError: the disks cannot be used, or the converter cannot look into them.
    """
    _check_settings(choice)
    load_plugin(Role.CONVERT, choice.convert.mode).require_first_boot()
    with _run_directory(choice, sinks) as (directory, listeners):
        input_setup.run(directory, choice.input, listeners)
        return first_boot_apart(directory, choice.convert, listeners)


@contextlib.contextmanager
def _run_directory(
    choice: RunChoice, sinks: Sequence[EventSink], at_end: Callable[[ConversionDir], None] | None = None
) -> Iterator[tuple[ConversionDir, Sequence[EventSink]]]:
    """Make the conversion directory, and clean up after the run, however it ends.

    :return: the directory, and the listeners as the steps have to call them.
    """
    load_plugin(Role.INPUT, choice.input.mode)
    token = secrets.token_hex(8)
    with signals_interrupt():
        path = choice.directory or temporary_path()
        # the warden comes first, so that it removes whatever a killed supervisor leaves at any moment
        with warden(path, token):
            directory = (
                ConversionDir.temporary(path) if choice.directory is None else ConversionDir.open_or_create(path)
            )
            with locks.held_for_a_run(directory, token):
                # an earlier run may have left processes here; its supervisor is dead, because it holds no lock any more
                processes.stop(directory.path, processes.is_gone_with_the_run)
                listener = _KeepingLogs(directory, sinks)
                try:
                    yield directory, [listener]
                except BaseException as err:
                    listener.at_end(err)
                    raise
                finally:
                    with signals_wait():
                        if at_end is not None:
                            at_end(directory)
                        cleanup.run(directory, [_only_warnings(sinks)])


class _KeepingLogs:
    """A listener that passes on events, and keeps the logs when a step fails.

    The failure names the log that outlives the directory, and nothing comes after it.
    """

    def __init__(self, directory: ConversionDir, sinks: Sequence[EventSink]) -> None:
        self._directory = directory
        self._sinks = sinks
        self._told = False

    def __call__(self, event: Event) -> None:
        """Pass on an event."""
        if event.kind is EventKind.STEP_FAILED and event.log is not None:
            # wrong usage leaves no logs
            kept = None if event.code == UsageError.exit_code else kept_logs.keep(self._directory, None)
            self._tell(kept)
            event = dataclasses.replace(event, log=None if kept is None else str(kept / Path(event.log).name))
        forward(event, self._sinks)

    def at_end(self, error: BaseException) -> None:
        """Bring what is kept up to date with the end of the run."""
        self._tell(kept_logs.keep(self._directory, error))

    def _tell(self, kept: Path | None) -> None:
        if kept is not None and not self._told:
            self._told = True
            text = f"the logs are in {kept}"
            forward(Event(kind=EventKind.LOGS_KEPT, step=Step.CLEANUP, text=text, path=str(kept)), self._sinks)


def _only_warnings(sinks: Sequence[EventSink]) -> EventSink:
    # after a failure, only warnings about what could not be cleaned up come after the error
    def sink(event: Event) -> None:
        if event.kind in {EventKind.WARNING, EventKind.STEP_FAILED}:
            forward(event, sinks)

    return sink


def _observers(names: Sequence[str]) -> list[EventSink]:
    return [load_plugin(Role.OBSERVER, name).event for name in names]
