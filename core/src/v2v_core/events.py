# SPDX-License-Identifier: GPL-2.0-or-later
"""Events: what a run says about itself, as typed records.

They are written as JSON lines to ``events.jsonl`` in the conversion directory and passed to observers. The progress
bars, the plain log and ``--machine-readable`` are rendered from them and from nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from v2v_core.errors import Obstacle
from v2v_core.model import ChangeKind, Fact
from v2v_core.records import from_json, to_json


class Step(StrEnum):
    """The steps, in the order in which they run. The same word names hook, module, event, log and docs page."""

    INPUT_SETUP = "input_setup"
    OUTPUT_CHECK = "output_check"
    CONVERT = "convert"
    OUTPUT_SETUP = "output_setup"
    COPY = "copy"
    OUTPUT_FINALIZE = "output_finalize"
    CLEANUP = "cleanup"


class EventKind(StrEnum):
    """What an event is about."""

    STEP_STARTED = "step_started"
    STEP_FINISHED = "step_finished"
    STEP_FAILED = "step_failed"
    MESSAGE = "message"
    INFO = "info"
    WARNING = "warning"
    CHANGE = "change"
    #: A fact about the converted guest was examined: ``fact``.
    FACT = "fact"
    PROGRESS = "progress"
    #: The converter has trimmed the file systems: what they do not use reads as zeros from here on.
    TRIMMED = "trimmed"
    #: The user has something at the destination now: ``text`` names it, ``what`` says what it is, if that is known.
    CREATED = "created"
    #: The logs of a failed run were kept; ``path`` is their directory.
    LOGS_KEPT = "logs_kept"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event.

    :param time: seconds since the epoch.
    :param text: for people; holds no control characters and no secret.
    :param disk: number of the disk that it is about, from 1.
    :param done: how much of ``total`` is done; in bytes if ``disk`` is given.
    :param log: path of the log of the step that failed. :param code: exit code that goes with the failure.
    :param path: which file, package or registry key of the guest was changed, or where the logs are kept.
    :param what: what was done to it, or what was created. :param why: why.
    :param change: what kind of change it is. :param value: which value of a registry key was changed.
    :param fact: what was examined, and its verdict.
    :param obstacles: the reasons of a failure one by one, if the converter listed them.
    """

    kind: EventKind
    step: Step
    time: float = field(default_factory=time.time)
    text: str = ""
    hint: str | None = None
    disk: int | None = None
    done: int | None = None
    total: int | None = None
    log: str | None = None
    code: int | None = None
    path: str | None = None
    what: str | None = None
    why: str | None = None
    obstacles: tuple[Obstacle, ...] = ()
    change: ChangeKind | None = None
    value: str | None = None
    fact: Fact | None = None

    def to_json(self) -> str:
        """Return the event as one line of JSON, without what is empty."""
        return json.dumps(to_json(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Event:
        """Read a line that ``to_json`` wrote. Ignore fields of a later version.

        :raises ValueError: the line is not an event.
        """
        return from_json(json.loads(line), cls)


EventSink = Callable[[Event], None]


class Reporter(Protocol):
    """How a plugin speaks to the user while one of its hooks runs. Every line also goes to the log of the step."""

    def message(self, text: str) -> None:
        """Say which part of the step begins now."""

    def info(self, text: str) -> None:
        """Say something worth knowing."""

    def warning(self, text: str) -> None:
        """Say that something is not as it should be, though the run goes on."""

    def changed(
        self, path: str, what: str, why: str, *, kind: ChangeKind = ChangeKind.FILE, value: str | None = None
    ) -> None:
        """Say that the guest was changed: which file, package or registry key (``Change``), how, and why."""

    def examined(self, fact: Fact) -> None:
        """Say what was found when the converted guest was examined."""

    def trimmed(self) -> None:
        """Say that the free space of the guest's file systems reads as zeros now. A converter says this once, early.

        From here on, a copy of the base may run beside the conversion.
        """

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None:
        """Say how far the current part has come; bytes where a disk is named."""

    def debug(self, text: str) -> None:
        """Write to the log of the step only."""
