# SPDX-License-Identifier: GPL-2.0-or-later
"""What core hands to the hooks of a plugin, as fakes that remember."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from v2v_core.hookspecs import OwnedObject


@dataclass
class FakeReporter:
    """A ``Reporter`` that keeps what it is told."""

    messages: list[str] = field(default_factory=list)
    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    debugs: list[str] = field(default_factory=list)
    #: (path, what, why), in the order in which they came.
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    #: (done, total, disk), in the order in which they came.
    progresses: list[tuple[int, int, int | None]] = field(default_factory=list)

    def message(self, text: str) -> None:
        """Keep which part of the step begins."""
        self.messages.append(text)

    def info(self, text: str) -> None:
        """Keep what is worth knowing."""
        self.infos.append(text)

    def warning(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)

    def changed(self, path: str, what: str, why: str) -> None:
        """Keep a change."""
        self.changes.append((path, what, why))

    def progress(self, done: int, total: int, *, disk: int | None = None) -> None:
        """Keep how far it has come."""
        self.progresses.append((done, total, disk))

    def debug(self, text: str) -> None:
        """Keep a line of the log."""
        self.debugs.append(text)

    @property
    def said(self) -> str:
        """Everything that was said, for a search."""
        changes = [" ".join(change) for change in self.changes]
        return "\n".join([*self.messages, *self.infos, *self.warnings, *changes, *self.debugs])


@dataclass
class FakeLedger:
    """A ``Ledger`` in memory.

    :param on_record: called with each object at the moment at which it is recorded, to look around.
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
        """Give what was recorded, in that order."""
        return tuple(self.objects)
