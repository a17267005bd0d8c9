# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of a run, made from ``metadata.out`` and the events in its conversion directory, and from nothing else.

So any supervisor can make the report, in any process and at any time. Of a failed run, the events are kept
(``kept_logs``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from v2v_core import metadata
from v2v_core.copying.hashes import ALGORITHM, BLOCK, GROUP, HashFile
from v2v_core.errors import V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import CopyResult
from v2v_core.model import Change, ChangeKind, Fact, Guest, TargetGuest
from v2v_core.records import from_json
from v2v_core.step_graph import RULES

MetadataT = TypeVar("MetadataT")


class Outcome(StrEnum):
    """How far a run has come."""

    #: The guest exists at the destination.
    FINISHED = "finished"
    #: The guest is converted; it was not copied, or not yet.
    CONVERTED = "converted"
    #: A step failed.
    FAILED = "failed"
    #: A step neither finished nor failed: it was interrupted, or is running.
    UNFINISHED = "unfinished"


@dataclass(frozen=True, kw_only=True)
class _Results:
    """``copy/results.json``."""

    results: tuple[CopyResult, ...] = ()


@dataclass
class StepRun:
    """The last run of a step. Times are seconds since the epoch; ``ended`` is None if the step has not ended.

    :param failure: the event with which it failed.
    :param announced: its start was an event. A copy of the base, beside the conversion, is a part of the step that
        comes before its start.
    """

    step: Step
    started: float
    ended: float | None = None
    failure: Event | None = None
    infos: list[Event] = field(default_factory=list)
    warnings: list[Event] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    announced: bool = True

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.ended is None else max(0.0, self.ended - self.started)


@dataclass(frozen=True, kw_only=True)
class DiskHashes:
    """The hash tree of a disk (``copying.hashes``), without the blocks.

    :param block: bytes of a block. :param group: bytes of a group of blocks.
    :param root: the hash of all groups, in hexadecimal.
    :param groups: the hash of each group by its number, from 0; a group that is not there reads as zeros.
    """

    algorithm: str
    block: int
    group: int
    root: str
    groups: Mapping[int, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class CopiedDisk:
    """A disk that was copied.

    :param size: virtual size in bytes. :param copied: bytes that were read and written; None if that is not known.
    :param zeroed: bytes that were zeroed. :param verified: the destination was read back and compared.
    :param hashes: None if none were taken.
    """

    index: int
    size: int
    copied: int | None = None
    zeroed: int | None = None
    verified: bool = False
    hashes: DiskHashes | None = None


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What a run did.

    :param guest: the guest as the source has it; None if it is not known.
    :param target: the converted guest; None if it was not converted.
    :param changes: the changes to the guest in their order, including those that a conversion made before it failed.
    :param facts: what was examined in the converted guest, whether the conversion failed because of it or not.
    :param steps: the steps that ran, in the order in which they began.
    :param copied: the disks, if they were all copied.
    """

    outcome: Outcome
    guest: Guest | None
    target: TargetGuest | None
    changes: tuple[Change, ...]
    steps: tuple[StepRun, ...]
    facts: tuple[Fact, ...] = ()
    copied: tuple[CopiedDisk, ...] = ()

    @property
    def failure(self) -> Event | None:
        """What ended the run, if it failed."""
        return next((run.failure for run in self.steps if run.failure is not None), None)

    @property
    def created(self) -> tuple[str, ...]:
        """What the user has now at the destination: files, disks, virtual machines."""
        return tuple(name for run in self.steps for name in run.created)

    @property
    def unfinished(self) -> Step | None:
        """The step that did not end, if there is one."""
        return next((run.step for run in self.steps if run.ended is None), None)

    @property
    def warnings(self) -> tuple[Event, ...]:
        """The warnings of all steps."""
        return tuple(event for run in self.steps for event in run.warnings)

    @property
    def infos(self) -> tuple[Event, ...]:
        """The information for the user, of all steps."""
        return tuple(event for run in self.steps for event in run.infos)

    @property
    def to_do(self) -> tuple[str, ...]:
        """What the user has to do: the remedies of the failure, and the warnings, which say what to do or to check."""
        todo: list[str | None] = []
        if self.failure is not None:
            todo += [obstacle.remedy for obstacle in self.failure.obstacles] or [self.failure.hint]
        todo += [warning.hint or warning.text for warning in self.warnings]
        return tuple(dict.fromkeys(text for text in todo if text))


def read_report(directory: Path) -> RunReport:
    """Return the report of a run, from its conversion directory or from its kept logs.

    :raises V2VError: ``events.jsonl`` cannot be read; the message names it.
    """
    path = directory / "events.jsonl"
    if not path.exists():
        raise V2VError(f"{path} cannot be read: it does not exist", hint="name a conversion directory")
    events, _ = read_events_from(path)
    steps = step_runs(events)
    by_step = {run.step: run for run in steps}
    convert = by_step.get(Step.CONVERT)
    # the result of an earlier conversion does not count once the step has begun again
    valid = convert is None or (convert.ended is not None and convert.failure is None)
    target = _if_readable(metadata.read_target, directory / "metadata.out") if valid else None
    guest = target.source if target else _if_readable(metadata.read_source, directory / "metadata.in")
    return RunReport(
        outcome=_outcome(steps, converted=target is not None),
        guest=guest,
        target=target,
        changes=target.changes if target else tuple(convert.changes if convert else ()),
        facts=tuple(convert.facts if convert else ()),
        steps=steps,
        copied=_copied(directory) if _is_finished(by_step.get(Step.COPY)) else (),
    )


def _is_finished(run: StepRun | None) -> bool:
    return run is not None and run.ended is not None and run.failure is None


def _copied(directory: Path) -> tuple[CopiedDisk, ...]:
    """Return what the copy step has left; nothing if a part of it cannot be read, as in logs that were kept."""
    try:
        results = from_json(json.loads((directory / "copy" / "results.json").read_text()), _Results).results
        return tuple(
            CopiedDisk(
                index=result.index,
                size=result.size,
                copied=result.copied,
                zeroed=result.zeroed,
                verified=result.verified,
                hashes=None if result.digest is None else _hashes(directory, result),
            )
            for result in results
        )
    except (OSError, ValueError):
        return ()


def _hashes(directory: Path, result: CopyResult) -> DiskHashes | None:
    path = directory / "copy" / f"hashes{result.index}"
    if not path.exists():
        return None
    hashes = HashFile(path, result.size)
    try:
        return DiskHashes(
            algorithm=ALGORITHM,
            block=BLOCK,
            group=BLOCK * GROUP,
            root=hashes.root(),
            groups={number: digest.hex() for number, digest in hashes.groups()},
        )
    finally:
        hashes.close()


def step_runs(events: Iterable[Event]) -> tuple[StepRun, ...]:
    """Sort events by step. A step that begins makes void what was built on an earlier run of it (``step_graph``)."""
    runs: dict[Step, StepRun] = {}
    for event in events:
        if event.kind is EventKind.STEP_STARTED:
            void = RULES[event.step].voids
            before = runs.get(event.step)
            runs = {step: run for step, run in runs.items() if step not in void and step is not event.step}
            runs[event.step] = run = StepRun(event.step, event.time)
            if before is not None and not before.announced:
                run.infos, run.warnings = before.infos, before.warnings
            continue
        run = runs.setdefault(event.step, StepRun(event.step, event.time, announced=False))
        if event.kind in {EventKind.STEP_FINISHED, EventKind.STEP_FAILED}:
            run.ended = event.time
            run.failure = event if event.kind is EventKind.STEP_FAILED else None
        elif event.kind is EventKind.INFO:
            run.infos.append(event)
        elif event.kind is EventKind.WARNING:
            run.warnings.append(event)
        elif event.kind is EventKind.CREATED:
            run.created.append(event.text)
        elif event.kind is EventKind.CHANGE:
            run.changes.append(_change(event))
        elif event.kind is EventKind.FACT and event.fact is not None:
            run.facts.append(event.fact)
    return tuple(runs.values())


def _change(event: Event) -> Change:
    return Change(
        path=event.path or "",
        what=event.what or "",
        why=event.why or "",
        kind=event.change or ChangeKind.FILE,
        value=event.value,
    )


def _outcome(steps: tuple[StepRun, ...], *, converted: bool) -> Outcome:
    if any(run.failure is not None for run in steps):
        return Outcome.FAILED
    if any(run.ended is None for run in steps):
        return Outcome.UNFINISHED
    if any(run.step is Step.OUTPUT_FINALIZE for run in steps):
        return Outcome.FINISHED
    return Outcome.CONVERTED if converted else Outcome.UNFINISHED


def read_events_from(path: Path, offset: int = 0) -> tuple[tuple[Event, ...], int]:
    """Read the events of a run.

    :param path: ``events.jsonl``. :param offset: bytes to skip: what an earlier call returned.
    :return: the events, and the offset behind the last whole line; a line that is still being written is left for
        later.
    :raises V2VError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            text = stream.read()
    except FileNotFoundError:
        return (), offset
    except OSError as err:
        raise V2VError(f"{path} cannot be read: {err.strerror}", hint="name a conversion directory") from err
    whole = text[: text.rfind(b"\n") + 1]
    return tuple(_events(whole.decode("utf-8", "replace").split("\n"))), offset + len(whole)


def _events(lines: Iterable[str]) -> Iterator[Event]:
    for line in lines:
        try:
            yield Event.from_json(line)
        except ValueError:
            # cut short by a crash, or of a later version
            continue


def _if_readable(read: Callable[[Path], MetadataT], path: Path) -> MetadataT | None:
    # the report shows what is there; the step that needs a missing or damaged file reports it
    try:
        return read(path)
    except V2VError:
        return None
