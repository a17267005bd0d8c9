# SPDX-License-Identifier: GPL-2.0-or-later
"""The public API for supervisors: programs that convert guests step by step, many at once, here or on other hosts.

A supervisor chooses (``InputChoice`` …), starts steps as processes (``start_step``), follows their events
(``read_events``), looks at a directory (``status``), and cleans up (``clean_up``). It learns everything from the
conversion directory, so it may be killed and started again. ``docs/writing-a-supervisor.md`` has the examples.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from v2v_core import locks
from v2v_core.conversion_dir import ConversionDir, temporary_path
from v2v_core.environment import child_environment
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import ConvertSettings, OwnedObject
from v2v_core.processes import DIRECTORY_VARIABLE, STEP_VARIABLE
from v2v_core.records import from_json, to_json
from v2v_core.run_report import read_events_from, step_runs
from v2v_core.settings import ConvertChoice, CopyChoice, Hardware, InputChoice, NicMapping, OutputChoice
from v2v_core.step_graph import RULES
from v2v_core.steps.alone import StepChoice, clean_up_alone

__all__ = [
    "STEPS",
    "ConvertChoice",
    "ConvertSettings",
    "CopyChoice",
    "DirectoryStatus",
    "Event",
    "EventKind",
    "Hardware",
    "InputChoice",
    "NicMapping",
    "OutputChoice",
    "OwnedObject",
    "Step",
    "StepChoice",
    "StepOutcome",
    "StepProcess",
    "choice_from_json",
    "choice_to_json",
    "clean_up",
    "new_directory",
    "read_events",
    "start_step",
    "status",
]

#: The steps of a conversion in the usual order. ``output_setup`` may come before ``convert``, and run beside it.
STEPS = tuple(step for step in Step if step is not Step.CLEANUP)


@dataclass(frozen=True, kw_only=True)
class StepOutcome:
    """How a step ended.

    :param code: exit code, 0 for success, as ``v2v_core.errors`` lists them; negative for the signal that killed the
        step.
    :param failure: the event with which the step failed: its text, hint, disk and log. None if it succeeded or was
        killed.
    :param stderr: what the process wrote to stderr, in case it ended without reporting the failure.
    """

    step: Step
    code: int
    failure: Event | None = None
    stderr: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the step was finished."""
        return self.code == 0


@dataclass(frozen=True, kw_only=True)
class DirectoryStatus:
    """How far the conversion in a directory has come.

    :param done: the steps that were finished and whose result still counts.
    :param running: the steps that a process works on now.
    :param interrupted: the steps that began and neither ended nor are running: their process was killed.
    :param failures: the failed steps, each with the event that says why, and which disk.
    :param ready: the steps that can be started now.
    :param copied: for each disk that is being copied, or was, the bytes copied and the bytes in all.
    :param owned: what exists outside the directory, and would be deleted by a cleanup.
    """

    done: frozenset[Step]
    running: frozenset[Step] = frozenset()
    interrupted: frozenset[Step] = frozenset()
    failures: Mapping[Step, Event] = field(default_factory=dict)
    ready: frozenset[Step] = frozenset()
    copied: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    owned: tuple[OwnedObject, ...] = ()


@dataclass
class StepProcess:
    """A step that runs in a process of its own."""

    directory: Path
    step: Step
    process: subprocess.Popen[bytes]
    #: What it writes to stderr. A file, since what a killed process has started would hold a pipe open.
    stderr: IO[bytes]
    #: Where the events of this process begin in ``events.jsonl``, in bytes.
    offset: int = 0
    #: How it ended, once ``wait`` has returned.
    outcome: StepOutcome | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def running(self) -> bool:
        """Return whether it has not ended yet."""
        return self.process.poll() is None

    def wait(self, timeout: float | None = None) -> StepOutcome:
        """Wait until the step has ended, and return how.

        :param timeout: seconds.
        :raises TimeoutError: it has not ended by then.
        """
        if self.outcome is not None:
            return self.outcome
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired as err:
            raise TimeoutError(f"step {self.step.value} in {self.directory} still runs") from err
        failure = None
        if self.process.returncode != 0:
            events, _ = read_events(self.directory, self.offset)
            failed = [event for event in events if event.kind is EventKind.STEP_FAILED and event.step is self.step]
            failure = failed[-1] if failed else None
        with self.stderr as stderr:
            stderr.seek(0)
            text = stderr.read().decode("utf-8", "replace")
        self.outcome = StepOutcome(step=self.step, code=self.process.returncode, failure=failure, stderr=text)
        return self.outcome

    def stop(self) -> None:
        """Ask the step to stop (SIGTERM). It stops its programs, and ends with exit code 130."""
        self.process.terminate()

    def kill(self) -> None:
        """Kill the process. Its servers and programs live on until ``clean_up`` stops them."""
        self.process.kill()


def new_directory() -> Path:
    """Make a conversion directory with a unique name in ``TMPDIR``, its large files in ``VIRT_V2V_TMPDIR``.

    :raises V2VError: it cannot be made there.
    """
    return ConversionDir.temporary(temporary_path()).path


def start_step(directory: Path, step: Step, choice: StepChoice | None = None) -> StepProcess:
    """Start a step as a process of its own, in a session of its own.

    The choice goes through a pipe, because it may hold secrets. For a step on another host, start ``helper-v2v-step``
    there, and give it ``choice_to_json(choice)`` on its stdin.

    :param directory: absolute; ``input_setup`` makes it if it does not exist.
    """
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the record
    process = subprocess.Popen(
        # -P: nothing in the current directory can be taken for a module of ours
        [sys.executable, "-P", "-m", "v2v_core.step_command", step.value, "--dir", str(directory), "--choice", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        start_new_session=True,
        # a cleanup finds the step by these, and stops it
        env=child_environment(**{DIRECTORY_VARIABLE: os.path.realpath(directory), STEP_VARIABLE: step.value}),
    )
    started = StepProcess(directory, step, process, stderr, _size(directory / "events.jsonl"))
    if process.stdin is not None:
        # a process that is dead already is reported by its exit code
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write((choice_to_json(choice) if choice is not None else "null").encode())
        process.stdin = None
    return started


def choice_to_json(choice: StepChoice) -> str:
    """Return a choice as the JSON text that ``helper-v2v-step --choice`` takes. It may hold secrets."""
    return json.dumps(to_json(choice))


def choice_from_json(text: str, kind: type[StepChoice]) -> StepChoice:
    """Read what ``choice_to_json`` returned.

    :raises ValueError: it is not one of this kind.
    """
    return from_json(json.loads(text), kind)


def read_events(directory: Path, offset: int = 0) -> tuple[tuple[Event, ...], int]:
    """Return the events that were written since an offset, and the offset to ask from next time.

    :param offset: bytes, from an earlier call; 0 for all events.
    """
    return read_events_from(directory / "events.jsonl", offset)


def status(directory: Path) -> DirectoryStatus:
    """Return how far the conversion in a directory has come.

    :raises UsageError: it is not a conversion directory.
    """
    opened = ConversionDir.existing(directory)
    events, _ = read_events(opened.path)
    runs = step_runs(events)
    # a copy of the base is not the step itself
    open_steps = {run.step for run in runs if run.ended is None and run.announced}
    held = {step for step in open_steps if locks.is_worked_on(opened, step)}
    done = opened.done()
    return DirectoryStatus(
        done=done,
        running=frozenset(held),
        interrupted=frozenset(open_steps - held),
        failures={run.step: run.failure for run in runs if run.failure is not None},
        ready=frozenset(step for step in STEPS if step not in done and RULES[step].needs <= done) - held,
        copied={
            event.disk: (event.done, event.total)
            for event in events
            if event.step is Step.COPY and event.disk is not None and event.done is not None and event.total is not None
        },
        owned=opened.ledger.owned(),
    )


def clean_up(directory: Path) -> tuple[OwnedObject, ...]:
    """Stop what still runs on a directory, take back what was begun and not finished, and remove it.

    :return: what could not be deleted. The directory is kept then; call this again when it can be.
    :raises UsageError: it is not a conversion directory, or ``virt-v2v`` itself works on it.
    :raises V2VError: it cannot be removed.
    """
    return clean_up_alone(directory)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
