# SPDX-License-Identifier: GPL-2.0-or-later
"""Fakes of the objects that core passes to the hooks of a plugin. They remember how they were used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from v2v_core.hookspecs import OwnedObject
from v2v_core.model import ChangeKind, Fact


@dataclass
class FakeReporter:
    """A ``Reporter`` that keeps what is reported."""

    messages: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    debugs: list[str] = field(default_factory=list)
    #: (path, what, why), in the order of the calls.
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    #: (kind, name of the value in the registry) of each change.
    kinds: list[tuple[ChangeKind, str | None]] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    #: (done, total, disk), in the order of the calls.
    progresses: list[tuple[int, int, int | None]] = field(default_factory=list)
    #: How often ``trimmed`` was called.
    times_trimmed: int = 0

    def message(self, text: str) -> None:
        """Keep a message."""
        self.messages.append(text)

    def info(self, text: str) -> None:
        """Keep a piece of information."""
        self.infos.append(text)

    def warning(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)

    def changed(
        self, path: str, what: str, why: str, *, kind: ChangeKind = ChangeKind.FILE, value: str | None = None
    ) -> None:
        """Keep a change."""
        self.changes.append((path, what, why))
        self.kinds.append((kind, value))

    def trimmed(self) -> None:
        """Count it."""
        self.times_trimmed += 1

    def examined(self, fact: Fact) -> None:
        """Keep a fact."""
        self.facts.append(fact)

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None:
        """Keep the progress."""
        self.progresses.append((done, total, disk))

    def debug(self, text: str) -> None:
        """Keep a line of the log."""
        self.debugs.append(text)

    @property
    def said(self) -> str:
        """Everything that was reported, as one text to search in."""
        changes = [" ".join(change) for change in self.changes]
        facts = [f"{fact.verdict}: {fact.name} {fact.detail}" for fact in self.facts]
        return "\n".join([*self.messages, *self.infos, *self.warnings, *changes, *facts, *self.debugs])


@dataclass
class FakeLedger:
    """A ``Ledger`` in memory.

    :param on_record: called with each object just before it is recorded.
    """

    objects: list[OwnedObject] = field(default_factory=list)
    on_record: Callable[[OwnedObject], None] | None = None

    def record(self, kind: str, identity: str) -> None:
        """Write down what is about to be created."""
        recorded = OwnedObject(kind=kind, identity=identity)
        if self.on_record is not None:
            self.on_record(recorded)
        self.objects.append(recorded)

    def owned(self) -> tuple[OwnedObject, ...]:
        """Return what was recorded, in that order."""
        return tuple(self.objects)
