# SPDX-License-Identifier: GPL-2.0-or-later
"""The ledger of a conversion directory: what its runs created elsewhere, and which plugin it belongs to.

``ledger.jsonl`` only grows. Each line is durable before what it announces happens:

* ``{"owner": 1, "role": "output", "name": …, "choice": {…}}``: a plugin begins. The lines below with its number belong
  to it.
* ``{"owned": 1, "kind": …, "identity": …}``: the plugin is about to create this object.
* ``{"deleted": 1, "kind": …, "identity": …}``: the object was deleted.
* ``{"settled": 1}``: nothing is left to undo. The objects of an output are the user's from here on.
* ``{"claim": …}``: the run is about to reserve a name at the destination (``claims``). No plugin is asked about it.

A line that a crash cut short was never followed by the creation of its object, and is ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2v_core.discovery import Role
from v2v_core.hookspecs import OwnedObject
from v2v_core.records import from_json, to_json
from v2v_core.settings import InputChoice, OutputChoice

_FILE = "ledger.jsonl"


@dataclass
class Owner:
    """A plugin that was set up, and the objects that it still owns.

    :param number: counts the set-ups in this directory, from 1.
    :param name: name of the guest, as it was passed to the plugin.
    :param choice: what the user asked of the plugin: the mode, the connection, the options.
    """

    number: int
    role: Role
    name: str
    choice: InputChoice | OutputChoice
    objects: list[OwnedObject] = field(default_factory=list)
    settled: bool = False


@dataclass(frozen=True)
class OwnLedger:
    """The ``Ledger`` that a plugin is handed: every line carries the number of its owner."""

    book: LedgerBook
    owner: int

    def record(self, kind: str, identity: str) -> None:
        """Write down, durably, that an object is about to be created."""
        self.book.write({"owned": self.owner, "kind": kind, "identity": identity})


@dataclass(frozen=True)
class LedgerBook:
    """The ledger of one conversion directory."""

    directory: Path

    def begin(self, role: Role, choice: InputChoice | OutputChoice, name: str) -> OwnLedger:
        """Open an account for a plugin that is about to be set up."""
        number = 1 + max((owner.number for owner in self.owners()), default=0)
        self.write({"owner": number, "role": role.value, "name": name, "choice": to_json(choice)})
        return OwnLedger(self, number)

    def of(self, number: int) -> OwnLedger:
        """Return the account that an earlier step opened."""
        return OwnLedger(self, number)

    def owners(self) -> tuple[Owner, ...]:
        """Return all plugins that were set up here, oldest first, each with the objects that it still owns."""
        owners: dict[int, Owner] = {}
        for line in self._lines():
            try:
                _apply(line, owners)
            except (KeyError, TypeError, ValueError):
                # a line of a later version
                continue
        return tuple(owners.values())

    def owner(self, number: int) -> Owner | None:
        """Return the plugin with a number, or None."""
        return next((owner for owner in self.owners() if owner.number == number), None)

    def unsettled(self, role: Role) -> tuple[Owner, ...]:
        """Return the plugins of a role that may still own something."""
        return tuple(owner for owner in self.owners() if owner.role is role and not owner.settled)

    def owned(self) -> tuple[OwnedObject, ...]:
        """Return every object that a plugin created, or was about to create, and still owns."""
        return tuple(thing for owner in self.owners() if not owner.settled for thing in owner.objects)

    def gone(self, number: int, objects: Iterable[OwnedObject]) -> None:
        """Write down that objects were deleted."""
        for thing in objects:
            self.write({"deleted": number, "kind": thing.kind, "identity": thing.identity})

    def settle(self, number: int) -> None:
        """Write down that nothing is left to undo for a plugin."""
        self.write({"settled": number})

    def claim(self, path: str) -> None:
        """Write down that the run is about to reserve a name, with the file that says so."""
        if path not in self.claims():
            self.write({"claim": path})

    def claims(self) -> tuple[str, ...]:
        """Return the files by which the run has reserved names, or was about to."""
        return tuple(dict.fromkeys(str(line["claim"]) for line in self._lines() if "claim" in line))

    def write(self, entry: dict[str, Any]) -> None:
        """Append a line and make it durable."""
        descriptor = os.open(self.directory / _FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            # the newline before it ends a line that a crash cut short
            stream.write("\n" + json.dumps(entry) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            lines = (self.directory / _FILE).read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def _apply(entry: dict[str, Any], owners: dict[int, Owner]) -> None:
    if "owner" in entry:
        role = Role(entry["role"])
        kind: type[InputChoice | OutputChoice] = InputChoice if role is Role.INPUT else OutputChoice
        try:
            choice = from_json(entry["choice"], kind)
        except ValueError:
            # a choice of another version: its objects are kept and named, since no plugin can be asked to delete them
            choice = kind(mode="(unreadable)")
        owners[entry["owner"]] = Owner(entry["owner"], role, str(entry["name"]), choice)
    elif "owned" in entry:
        owners[entry["owned"]].objects.append(OwnedObject(kind=entry["kind"], identity=entry["identity"]))
    elif "deleted" in entry:
        thing = OwnedObject(kind=entry["kind"], identity=entry["identity"])
        objects = owners[entry["deleted"]].objects
        objects[:] = [owned for owned in objects if owned != thing]
    elif "settled" in entry:
        owners[entry["settled"]].settled = True
