# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the guest's hives, stage edits, and commit them all at once.

Reads see the guest as it came: no read sees an edit before ``commit``. So the rooms of the conversion do not depend
on their order, and a failure before or in ``commit`` leaves every hive as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.registry.values import LONGEST_VALUE, Value
from v2v_core.api import ChangeKind, ConversionError

#: How many keys and values of one key are looked at, and how long names are. Windows has the same limit for names.
_KEYS_LIMIT = 5000
_VALUES_LIMIT = 2000
_NAME_LIMIT = 255


class HiveName(StrEnum):
    """A hive that the conversion reads."""

    SYSTEM = "SYSTEM"
    SOFTWARE = "SOFTWARE"


@dataclass(frozen=True)
class Edit:
    """A staged edit. A ``value`` of None deletes the value ``name``; a ``name`` of None deletes the key.

    :param old: the value before, for the report; None if there was none.
    """

    hive: HiveName
    key: str
    name: str | None
    value: Value | None
    why: str
    old: Value | None = field(default=None, compare=False)


class Store(Protocol):
    """Where the hives are. Keys and values have numbers there, which hold until the hives are written.

    Each method but ``write`` raises ConversionError if the hive cannot be read.
    """

    def root(self, hive: HiveName) -> int:
        """Return the root key."""

    def child(self, hive: HiveName, key: int, name: str) -> int | None:
        """Return the key of this name, in any capitals, directly below a key; None if there is none."""

    def children(self, hive: HiveName, key: int) -> Sequence[int]:
        """Return the keys directly below a key."""

    def name(self, hive: HiveName, key: int) -> str | None:
        """Return the name of a key as the hive spells it; None if it is not text."""

    def find_value(self, hive: HiveName, key: int, name: str) -> int | None:
        """Return the value of this name, in any capitals; None if there is none."""

    def values(self, hive: HiveName, key: int) -> Sequence[int]:
        """Return the values of a key."""

    def value_name(self, hive: HiveName, value: int) -> str | None:
        """Return the name of a value as the hive spells it; None if it is not text."""

    def read(self, hive: HiveName, value: int) -> Value | None:
        """Return a value, or None if it is too long."""

    def write(self, edits: Sequence[Edit]) -> None:
        """Write all edits in their order.

        :raises ConversionError: one cannot be written; then every hive is as it was.
        """

    def close(self) -> None:
        """Close the hive that is open, if one is; the next read opens it again."""


class Key:
    """A key of a hive as it came. Names are compared without case, paths are separated by backslashes."""

    def __init__(
        self, registry: Registry, hive: HiveName, number: int, above: Key | None, name: str | None = None
    ) -> None:
        """Use the key of this number in the registry's store; its name is read when it is needed."""
        self._registry, self.hive, self.number, self._above, self._name = registry, hive, number, above, name

    @property
    def name(self) -> str:
        """The last part of the key's path, as the hive spells it."""
        if self._name is None:
            self._name = "" if self._above is None else self._registry.store.name(self.hive, self.number) or ""
        return self._name

    @property
    def path(self) -> str:
        r"""The path below the hive: ``ControlSet001\Services\viostor``."""
        if self._above is None:
            return ""
        return f"{self._above.path}\\{self.name}".lstrip("\\")

    def key(self, path: str) -> Key | None:
        """Return a key below this one, or None."""
        found = self
        for part in parts(path):
            number = self._registry.store.child(self.hive, found.number, part)
            if number is None:
                return None
            found = Key(self._registry, self.hive, number, found)
        return found

    def keys(self) -> tuple[Key, ...]:
        """Return the keys directly below this one; of very many only the first, with a warning."""
        store = self._registry.store
        numbers = self._first(store.children(self.hive, self.number), _KEYS_LIMIT, "keys")
        named = [(number, store.name(self.hive, number)) for number in numbers]
        if any(name is None for _, name in named):
            self._warn("keys below it are left alone whose names are not text")
        return tuple(Key(self._registry, self.hive, number, self, name) for number, name in named if name)

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys directly below this one, as ``keys`` does."""
        return iter(self.keys())

    def value(self, name: str) -> Value | None:
        """Return a value of this key, "" for the default value; None if it has none of this name, or one too long."""
        number = self._registry.store.find_value(self.hive, self.number, name)
        return None if number is None else self._read(number, name)

    def values(self) -> dict[str, Value]:
        """Return all values of this key by their names; of very many only the first, with a warning."""
        store = self._registry.store
        found = {}
        for number in self._first(store.values(self.hive, self.number), _VALUES_LIMIT, "values"):
            name = store.value_name(self.hive, number)
            value = None if name is None else self._read(number, name)
            if name is None:
                self._warn("a value of it is left alone whose name is not text")
            elif value is not None:
                found[name] = value
        return found

    def _read(self, number: int, name: str) -> Value | None:
        value = self._registry.store.read(self.hive, number)
        if value is None:
            self._warn(f"its value {name!r} is left alone: it is too long")
        return value

    def _first(self, numbers: Sequence[int], limit: int, what: str) -> Sequence[int]:
        if len(numbers) > limit:
            self._warn(f"it has {len(numbers)} {what}; only {limit} of them are read")
        return numbers[:limit]

    def _warn(self, text: str) -> None:
        self._registry.warn(f"{self.hive}\\{self.path} of the guest's registry: {text}")


class Registry:
    """The registry of the guest."""

    def __init__(self, session: Session, store: Store) -> None:
        """Use the hives of a store."""
        self._session, self.store = session, store
        self.edits: list[Edit] = []
        self._warned: set[str] = set()

    def key(self, hive: HiveName, path: str = "") -> Key | None:
        """Return a key of a hive, or None if there is none.

        :raises ConversionError: the hive cannot be read.
        """
        return Key(self, hive, self.store.root(hive), None).key(path)

    def set(self, hive: HiveName, key: str, name: str, value: Value, *, why: str) -> None:
        """Stage setting a value, "" being the default one; keys on the way are created. The same value is no edit.

        :raises ConversionError: the value or a name is longer than a hive can have them.
        """
        _check(hive, key, name, value)
        path, found = self._spelled(hive, key)
        name, old = self._before(found, name)
        self._forget(hive, path, name)
        if old != value:
            self.edits.append(Edit(hive, path, name, value, why, old))

    def delete_value(self, hive: HiveName, key: str, name: str, *, why: str) -> None:
        """Stage deleting a value. One that does not exist is no edit."""
        path, found = self._spelled(hive, key)
        if found is None or self.store.find_value(hive, found.number, name) is None:
            self._forget(hive, path, name)
            return
        name, old = self._before(found, name)
        self._forget(hive, path, name)
        self.edits.append(Edit(hive, path, name, None, why, old))

    def delete_key(self, hive: HiveName, key: str, *, why: str) -> None:
        """Stage deleting a key with all below it. One that does not exist is no edit.

        :raises ConversionError: it is the root of the hive.
        """
        if not parts(key):
            raise ConversionError(f"internal error: the root of the hive {hive} is not deleted")
        path, found = self._spelled(hive, key)
        self.edits[:] = [edit for edit in self.edits if edit.hive is not hive or not _is_below(edit.key, path)]
        path, found = self._spelled(hive, key)
        if found is not None:
            self.edits.append(Edit(hive, path, None, None, why))

    def close(self) -> None:
        """Close the hive that is open. The appliance opens one at a time, so this comes before any other is opened."""
        self.store.close()

    def commit(self) -> None:
        """Write all edits, each hive once, and record them as changes of the session.

        :raises ConversionError: one cannot be written; then every hive is as it was.
        """
        if not self.edits:
            return
        self.store.write(tuple(self.edits))
        for edit in self.edits:
            self._session.changed(
                f"{edit.hive}\\{edit.key}", described(edit), edit.why, kind=ChangeKind.REGISTRY, value=edit.name
            )
        self.edits.clear()

    def warn(self, text: str) -> None:
        """Warn of something in the registry, once."""
        if text not in self._warned:
            self._warned.add(text)
            self._session.report.warning(text)

    def _spelled(self, hive: HiveName, key: str) -> tuple[str, Key | None]:
        """Return the path as the hive, or else an earlier edit, spells it, and the key if it is there.

        A key that is to be deleted is not there.
        """
        known, rest = Key(self, hive, self.store.root(hive), None), parts(key)
        while rest and (below := known.key(rest[0])) is not None:
            known, rest = below, rest[1:]
        path = "\\".join([*parts(known.path), *rest])
        found = None if rest else known
        staged_path = next((edit.key for edit in staged(self, hive) if edit.key.lower() == path.lower()), path)
        gone = any(edit.name is None and _is_below(path, edit.key) for edit in staged(self, hive))
        return (path if found is not None else staged_path), (None if gone else found)

    def _before(self, key: Key | None, name: str) -> tuple[str, Value | None]:
        """Return the name of a value as the hive spells it, and the value, if there is one."""
        number = None if key is None else self.store.find_value(key.hive, key.number, name)
        if key is None or number is None:
            return name, None
        return self.store.value_name(key.hive, number) or name, self.store.read(key.hive, number)

    def _forget(self, hive: HiveName, key: str, name: str) -> None:
        """Drop earlier edits of a value."""
        target = (hive, key.lower(), name.lower())
        self.edits[:] = [
            edit
            for edit in self.edits
            if edit.name is None or (edit.hive, edit.key.lower(), edit.name.lower()) != target
        ]


def staged(registry: Registry, hive: HiveName) -> Iterator[Edit]:
    """Yield the edits of one hive."""
    return (edit for edit in registry.edits if edit.hive is hive)


def parts(path: str) -> list[str]:
    """Return the names in a path of keys."""
    return [part for part in path.split("\\") if part]


def described(edit: Edit) -> str:
    """Return what an edit does, for the report."""
    if edit.name is None:
        return "deleted with all below it"
    was = "" if edit.old is None else f", was {edit.old}"
    return f"deleted{was}" if edit.value is None else f"set to {edit.value}{was}"


def _is_below(path: str, above: str) -> bool:
    return f"{path}\\".lower().startswith(f"{above}\\".lower())


def _check(hive: HiveName, key: str, name: str, value: Value) -> None:
    """Check that a value can be written.

    :raises ConversionError: it cannot.
    """
    what = f"{hive}\\{key[:300]}, value {name[:300]!r} of the guest's registry cannot be set"
    if len(value.data) > LONGEST_VALUE:
        raise ConversionError(f"{what}: it would have {len(value.data)} bytes, more than the {LONGEST_VALUE} that fit")
    if any(not part or len(part) > _NAME_LIMIT for part in key.split("\\")) or len(name) > _NAME_LIMIT:
        raise ConversionError(f"{what}: a name in it is empty or longer than {_NAME_LIMIT} characters")
    if "\0" in key + name:
        raise ConversionError(f"{what}: a name in it has a NUL")
