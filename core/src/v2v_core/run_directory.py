# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion directory of a whole run: made, held, and cleaned up or kept at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import shlex
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from v2v_core import kept_logs, locks, processes, run_record
from v2v_core.conversion_dir import ConversionDir, temporary_path
from v2v_core.discovery import Role
from v2v_core.errors import UsageError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.plugins import load_plugin
from v2v_core.reporting import forward
from v2v_core.settings import RunChoice
from v2v_core.signals import signals_interrupt, signals_wait
from v2v_core.steps import cleanup
from v2v_core.warden import warden

#: Called before the cleanup, however the run ends, with the directory as the steps left it.
AtEnd = Callable[[ConversionDir], None]
#: Seconds that a run that goes on waits for the warden of the killed one.
_PATIENCE = 20.0


@contextlib.contextmanager
def run_directory(
    choice: RunChoice, sinks: Sequence[EventSink], at_end: AtEnd | None = None, *, resumable: bool = False
) -> Iterator[tuple[ConversionDir, Sequence[EventSink]]]:
    """Make the conversion directory, and clean up after the run, however it ends.

    :param resumable: a directory that the user has named is kept if the run does not succeed (``run_record``).
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
                if run_record.exists(directory.path):
                    raise UsageError(
                        f"{directory.path} holds a conversion that did not end",
                        hint=f"go on with it: {_resume(directory)}; or remove it: {_cleanup(directory)}",
                    )
                # an earlier run may have left processes here; its supervisor is dead, because it holds no lock any more
                processes.stop(directory.path, processes.is_gone_with_the_run)
                if resumable and choice.directory is not None:
                    run_record.write(directory, choice)
                with _ending_well(directory, sinks, at_end) as listener:
                    yield directory, [listener]


@contextlib.contextmanager
def kept_directory(
    directory: ConversionDir, sinks: Sequence[EventSink], at_end: AtEnd | None = None
) -> Iterator[Sequence[EventSink]]:
    """Hold the directory that a run has left, for a run that goes on with it.

    :return: the listeners as the steps have to call them.
    :raises UsageError: another process works on it.
    """
    token = secrets.token_hex(8)
    with signals_interrupt(), warden(directory.path, token), contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.held_for_a_run(directory, token, patience=_PATIENCE))
        except UsageError as err:
            err.hint = "wait until it has ended; if it hangs, 'v2v resume --take-over' kills it and goes on"
            raise
        processes.stop(directory.path, processes.is_gone_with_the_run)
        with _ending_well(directory, sinks, at_end) as listener:
            yield [listener]


@contextlib.contextmanager
def _ending_well(directory: ConversionDir, sinks: Sequence[EventSink], at_end: AtEnd | None) -> Iterator[_KeepingLogs]:
    listener = _KeepingLogs(directory, sinks)
    kept = False
    try:
        yield listener
    except BaseException as err:
        listener.at_end(err)
        kept = _is_worth_keeping(directory, err)
        if kept:
            err.add_note(
                f"{directory.path} is kept: to go on, run {_resume(directory)}; "
                f"to remove it and all that the conversion has created, run {_cleanup(directory)}"
            )
        raise
    finally:
        with signals_wait():
            if at_end is not None:
                at_end(directory)
            if kept:
                processes.stop(directory.path, processes.is_gone_with_the_run)
            else:
                cleanup.run(directory, [_only_warnings(sinks)])


def _is_worth_keeping(directory: ConversionDir, error: BaseException) -> bool:
    if not run_record.exists(directory.path):
        return False
    # what was asked makes no sense, and the long work has not begun
    return not isinstance(error, UsageError) or bool(directory.done() & {Step.CONVERT, Step.OUTPUT_SETUP})


def _resume(directory: ConversionDir) -> str:
    return f"'v2v resume {shlex.quote(str(directory.path))}'"


def _cleanup(directory: ConversionDir) -> str:
    return f"'helper-v2v-cleanup --dir {shlex.quote(str(directory.path))}'"


class _KeepingLogs:
    """A listener that passes on events, and keeps the logs when a step fails.

    The failure names the log that outlives the directory, and nothing comes after it.
    """

    def __init__(self, directory: ConversionDir, sinks: Sequence[EventSink]) -> None:
        self._directory = directory
        self._sinks = sinks
        self._told = False
        self._failed = False
        # the copy of the base reports from a thread of its own
        self._lock = threading.RLock()

    def __call__(self, event: Event) -> None:
        """Pass on an event. Of two steps that fail, one beside the other, only the first one says so."""
        with self._lock:
            if event.kind is EventKind.STEP_FAILED:
                if self._failed:
                    return
                self._failed = True
            self._pass_on(event)

    def _pass_on(self, event: Event) -> None:
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
