# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the guest's hives, stage edits, and commit them all at once.

Reads see the guest as it came: no read sees an edit before ``commit``. So the rooms of the conversion do not depend
on their order, and a failure before or in ``commit`` leaves every hive as it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.registry.values import Value


class HiveName(StrEnum):
    """A hive that the conversion reads."""

    SYSTEM = "SYSTEM"
    SOFTWARE = "SOFTWARE"


class Key:
    """A key of a hive as it came. Names are compared without case, paths are separated by backslashes."""

    @property
    def name(self) -> str:
        """The last part of the key's path, as the hive spells it."""
        raise NotImplementedError

    @property
    def path(self) -> str:
        r"""The path below the hive: ``ControlSet001\Services\viostor``."""
        raise NotImplementedError

    def key(self, path: str) -> Key | None:
        """Return a key below this one, or None."""
        raise NotImplementedError

    def keys(self) -> tuple[Key, ...]:
        """Return the keys directly below this one; of very many only the first, with a warning."""
        raise NotImplementedError

    def value(self, name: str) -> Value | None:
        """Return a value of this key, "" for the default value; None if it has none of this name, or one too long."""
        raise NotImplementedError

    def values(self) -> dict[str, Value]:
        """Return all values of this key by their names; of very many only the first, with a warning."""
        raise NotImplementedError


@dataclass(frozen=True)
class Edit:
    """A staged edit. A ``value`` of None deletes the value ``name``; a ``name`` of None deletes the key."""

    hive: HiveName
    key: str
    name: str | None
    value: Value | None
    why: str


class Registry:
    """The registry of the guest."""

    def __init__(self, session: Session, paths: dict[HiveName, str]) -> None:
        """Use the hives at the given paths in the guest."""
        self._session, self._paths = session, paths
        self.edits: list[Edit] = []

    def key(self, hive: HiveName, path: str = "") -> Key | None:
        """Return a key of a hive, or None if there is none.

        :raises ConversionError: the hive cannot be read.
        """
        raise NotImplementedError

    def set(self, hive: HiveName, key: str, name: str, value: Value, *, why: str) -> None:
        """Stage setting a value, "" being the default one; keys on the way are created. The same value is no edit."""
        raise NotImplementedError

    def delete_value(self, hive: HiveName, key: str, name: str, *, why: str) -> None:
        """Stage deleting a value. One that does not exist is no edit."""
        raise NotImplementedError

    def delete_key(self, hive: HiveName, key: str, *, why: str) -> None:
        """Stage deleting a key with all below it. One that does not exist is no edit."""
        raise NotImplementedError

    def commit(self) -> None:
        """Write all edits, each hive once, and record them as changes of the session.

        :raises ConversionError: one cannot be written; then every hive is as it was.
        """
        raise NotImplementedError


def staged(registry: Registry, hive: HiveName) -> Iterator[Edit]:
    """Yield the edits of one hive."""
    return (edit for edit in registry.edits if edit.hive is hive)
