# SPDX-License-Identifier: GPL-2.0-or-later
"""How a step reports: events go to the conversion directory and to the listeners, and everything goes to its log."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import io
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, cast

from v2v_core.conversion_dir import ConversionDir
from v2v_core.environment import programs_belong_to
from v2v_core.errors import CommandError, Interrupted, Obstacle, V2VError
from v2v_core.events import Event, EventKind, EventSink, Step
from v2v_core.model import Change, ChangeKind, Fact
from v2v_core.processes import STEP_VARIABLE
from v2v_core.signals import interrupted, interruption
from v2v_core.space import is_no_room, no_room
from v2v_core.text import printable

_TEXTS = ("text", "hint", "log", "path", "what", "why", "value")
#: Seconds between two progress events of one disk.
_PROGRESS_INTERVAL = 0.2


class StepReport:
    """The ``Reporter`` of a running step."""

    def __init__(self, directory: ConversionDir, step: Step, sinks: Sequence[EventSink]) -> None:
        self._directory = directory
        self._step = step
        self._sinks = sinks
        self._lock = threading.Lock()
        self._last_progress: dict[int | None, float] = {}
        self._complete: set[int | None] = set()
        #: As the converter reported them.
        self.changes: list[Change] = []
        self.facts: list[Fact] = []
        self.log_path = directory.log(step)
        self._log = _open_append(self.log_path)
        self._events = _open_append(directory.events)

    @property
    def log(self) -> IO[str]:
        """The log of the step, for the stderr of programs."""
        return self._log

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._events.close()

    def message(self, text: str) -> None:
        """Say which part of the step begins now."""
        self.emit(Event(kind=EventKind.MESSAGE, step=self._step, text=text))

    def info(self, text: str) -> None:
        """Say something worth knowing."""
        self.emit(Event(kind=EventKind.INFO, step=self._step, text=text))

    def warning(self, text: str) -> None:
        """Say that something is not as it should be, though the run goes on."""
        self.emit(Event(kind=EventKind.WARNING, step=self._step, text=text))

    def changed(
        self, path: str, what: str, why: str, *, kind: ChangeKind = ChangeKind.FILE, value: str | None = None
    ) -> None:
        """Say that the guest was changed."""
        change = Change(path=path, what=what, why=why, kind=kind, value=value)
        self.changes.append(change)
        self.emit(
            Event(
                kind=EventKind.CHANGE,
                step=self._step,
                text=f"{change.place}: {what} ({why})",
                path=path,
                what=what,
                why=why,
                change=kind,
                value=value,
            )
        )

    def examined(self, fact: Fact) -> None:
        """Say what was found when the converted guest was examined."""
        self.facts.append(fact)
        detail = f" ({fact.detail})" if fact.detail else ""
        text = f"{fact.verdict}: {fact.name}{detail}"
        self.emit(Event(kind=EventKind.FACT, step=self._step, text=text, fact=fact))

    def trimmed(self) -> None:
        """Say that the free space of the guest's file systems reads as zeros now."""
        self.emit(Event(kind=EventKind.TRIMMED, step=self._step))

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None:
        """Say how far the current part has come."""
        now = time.monotonic()
        if done < total:
            self._complete.discard(disk)
            if now - self._last_progress.get(disk, -1.0) < _PROGRESS_INTERVAL:
                return
        elif disk is not None and disk in self._complete:
            # a program that copies says that all is done, and then the copier that ran it does
            return
        else:
            self._complete.add(disk)
        self._last_progress[disk] = now
        self.emit(Event(kind=EventKind.PROGRESS, step=self._step, done=done, total=total, disk=disk))

    def debug(self, text: str) -> None:
        """Write to the log only."""
        self._write_log(text)

    def emit(self, event: Event) -> None:
        """Send an event to the directory, the log, and the listeners."""
        event = clean(event)
        if event.kind is not EventKind.PROGRESS:
            about = f" (disk {event.disk})" if event.disk is not None else ""
            self._write_log(f"{event.kind}{about}: {event.text}" + (f"\nhint: {event.hint}" if event.hint else ""))
        with self._lock:
            # a full disk must not end a conversion, so the event is then missing from the file
            with contextlib.suppress(OSError):
                self._events.write(event.to_json() + "\n")
                self._events.flush()
            problems = forward(event, self._sinks)
        for problem in problems:
            self._write_log(problem)

    def _write_log(self, text: str) -> None:
        stamp = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        with self._lock, contextlib.suppress(OSError, ValueError):
            for line in text.splitlines() or [""]:
                self._log.write(f"{stamp} {printable(line)}\n")
            self._log.flush()


def forward(event: Event, sinks: Sequence[EventSink]) -> list[str]:
    """Pass an event to listeners. Return the failures of listeners for the log: they must not end the run."""
    problems, known = [], sys.exception()
    for sink in sinks:
        try:
            sink(event)
        except Interrupted:
            # the listener did not fail: a signal to stop has just arrived
            raise
        except Exception as err:
            if (signal := interruption(err, known)) is not None:
                raise signal from None
            problems.append(f"a listener failed:\n{traceback.format_exc()}")
    return problems


def clean(event: Event) -> Event:
    """Return an event without control characters in its texts."""
    texts: dict[str, Any] = {name: printable(value) for name in _TEXTS if (value := getattr(event, name)) is not None}
    obstacles = tuple(
        Obstacle(reason=printable(obstacle.reason), remedy=printable(obstacle.remedy)) for obstacle in event.obstacles
    )
    fact = event.fact
    if fact is not None:
        fact = dataclasses.replace(fact, name=printable(fact.name), detail=printable(fact.detail))
    return dataclasses.replace(event, obstacles=obstacles, fact=fact, **texts)


@contextlib.contextmanager
def running(directory: ConversionDir, step: Step, sinks: Sequence[EventSink]) -> Iterator[StepReport]:
    """Run a step: its first and last events, its log, and its mark in the directory when it is done.

    :raises V2VError: what the step raised. Any other exception is wrapped in one, and its traceback is in the log.
    """
    report, known = StepReport(directory, step, sinks), sys.exception()
    try:
        directory.require(step)
        _mark(step, directory.mark_begun)
        with programs_belong_to({**directory.environment, STEP_VARIABLE: step.value}):
            # an observer may start a program, too
            report.emit(Event(kind=EventKind.STEP_STARTED, step=step))
            yield report
        _mark(step, directory.mark_done)
        report.emit(Event(kind=EventKind.STEP_FINISHED, step=step))
    except (Exception, KeyboardInterrupt) as err:
        failure = _failure(directory, step, err, known)
        _fail(report, step, failure)
        if failure is err:
            raise
        raise failure from err
    finally:
        report.close()


@contextlib.contextmanager
def failing_as(directory: ConversionDir, step: Step, sinks: Sequence[EventSink]) -> Iterator[StepReport]:
    """Do some work of a step beside it: it reports, and it fails as the step would, but the step is not begun.

    :raises V2VError: as ``running``.
    """
    report, known = StepReport(directory, step, sinks), sys.exception()
    try:
        with programs_belong_to({**directory.environment, STEP_VARIABLE: step.value}):
            yield report
    except (Exception, KeyboardInterrupt) as err:
        failure = _failure(directory, step, err, known)
        _fail(report, step, failure)
        if failure is err:
            raise
        raise failure from err
    finally:
        report.close()


def _mark(step: Step, write: Callable[[Step], None]) -> None:
    try:
        write(step)
    except OSError as err:
        # the cleanup is what makes room, and nothing depends on its marks
        if step is not Step.CLEANUP or not is_no_room(err):
            raise


def _failure(directory: ConversionDir, step: Step, err: BaseException, known: BaseException | None) -> V2VError:
    """Return the error that is shown to the user.

    :param known: the exception that was already being handled when the step began.
    """
    if (signal := interruption(err, known)) is not None:
        stopped = interrupted(signal)
        if isinstance(err, V2VError):
            stopped.add_note(err.message)
        return stopped
    if isinstance(err, V2VError):
        return err
    if is_no_room(err):
        variables = {directory.overlay: "VIRT_V2V_TMPDIR", directory.path: "TMPDIR"}
        message, hint = no_room(err, variables, f"what step {step.value} leaves")
        return V2VError(message, hint=hint)
    if isinstance(err, OSError):
        return V2VError(f"{err.filename or step.value}: {err.strerror or err}")
    return V2VError(
        f"internal error in step {step.value}: {type(err).__name__}: {err}",
        hint="this is a bug, please report it with the log of the step",
    )


def _fail(report: StepReport, step: Step, error: V2VError) -> None:
    report.debug(traceback.format_exc())
    error.add_note(f"log: {report.log_path}")
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, CommandError):
            report.debug(f"{cause.argv}\n{cause.stderr_tail}")
        cause = cause.__cause__
    report.emit(
        Event(
            kind=EventKind.STEP_FAILED,
            step=step,
            text=error.message,
            hint=error.hint,
            disk=getattr(error, "disk", None),
            log=str(report.log_path),
            code=error.exit_code,
            obstacles=error.obstacles,
        )
    )


def _open_append(path: os.PathLike[str]) -> IO[str]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as err:
        if not is_no_room(err):
            raise
        # a step that has something to write says so; one that has not goes on without a log
        descriptor = os.open(os.devnull, os.O_WRONLY)
    # without a buffer: what a full file system does not take is dropped, and does not fail again at the end
    raw = cast("IO[bytes]", os.fdopen(descriptor, "wb", buffering=0))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
