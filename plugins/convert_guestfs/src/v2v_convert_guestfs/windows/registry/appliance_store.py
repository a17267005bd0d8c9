# SPDX-License-Identifier: GPL-2.0-or-later
"""The hives of the mounted guest, through the appliance's hivex.

libguestfs has one hive open at a time. The number of a key is its place in the hive, so it holds after the hive was
closed and opened again, as long as nothing was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName
from v2v_convert_guestfs.windows.registry.values import Value
from v2v_convert_guestfs.windows.registry.writing import write_hives
from v2v_core.api import ConversionError

#: Bytes: longer values are not read. The longest that Windows itself has in these hives are some 100 KiB.
_READ_LIMIT = 1024 * 1024
#: hivex's way to say that there is no such value.
_NO_VALUE = "Success"
_NOT_TEXT = "Invalid or incomplete multibyte or wide character"


class ApplianceStore:
    """The hives of the guest, as ``hives.Store`` describes it."""

    def __init__(self, session: Session, paths: Mapping[HiveName, str]) -> None:
        """Use the hives at the given paths in the guest."""
        self._session, self._paths = session, paths
        self._open: HiveName | None = None
        self._children: dict[tuple[HiveName, int, str], int | None] = {}
        self._names: dict[tuple[HiveName, int], str | None] = {}

    @property
    def _handle(self) -> Handle:
        return self._session.handle

    def root(self, hive: HiveName) -> int:
        """Return the root key."""
        return int(self._ask(hive, self._handle.hivex_root))

    def child(self, hive: HiveName, key: int, name: str) -> int | None:
        """Return the key of this name, in any capitals, directly below a key; None if there is none."""
        known = (hive, key, name.lower())
        if known not in self._children:
            number = self._ask(hive, lambda: self._handle.hivex_node_get_child(key, name))
            self._children[known] = int(number) or None
        return self._children[known]

    def children(self, hive: HiveName, key: int) -> Sequence[int]:
        """Return the keys directly below a key."""
        found = self._ask(hive, lambda: self._handle.hivex_node_children(key))
        return [int(child["hivex_node_h"]) for child in found]

    def name(self, hive: HiveName, key: int) -> str | None:
        """Return the name of a key as the hive spells it; None if it is not text."""
        if (hive, key) not in self._names:
            self._names[hive, key] = self._text(hive, lambda: self._handle.hivex_node_name(key))
        return self._names[hive, key]

    def find_value(self, hive: HiveName, key: int, name: str) -> int | None:
        """Return the value of this name, in any capitals; None if there is none."""
        self._switch(hive)
        try:
            return int(self._handle.hivex_node_get_value(key, name)) or None
        except RuntimeError as err:
            if str(err).endswith(_NO_VALUE):
                return None
            raise self._damaged(hive, err) from err

    def values(self, hive: HiveName, key: int) -> Sequence[int]:
        """Return the values of a key."""
        found = self._ask(hive, lambda: self._handle.hivex_node_values(key))
        return [int(value["hivex_value_h"]) for value in found]

    def value_name(self, hive: HiveName, value: int) -> str | None:
        """Return the name of a value as the hive spells it; None if it is not text."""
        return self._text(hive, lambda: self._handle.hivex_value_key(value))

    def read(self, hive: HiveName, value: int) -> Value | None:
        """Return a value, or None if it is too long."""
        kind = int(self._ask(hive, lambda: self._handle.hivex_value_type(value)))
        data = bytes(self._ask(hive, lambda: self._handle.hivex_value_value(value)))
        return None if len(data) > _READ_LIMIT else Value(kind, data)

    def write(self, edits: Sequence[Edit]) -> None:
        """Write all edits in their order.

        :raises ConversionError: one cannot be written; then every hive is as it was.
        """
        self.close()
        write_hives(self._session, self._paths, edits)
        self._children.clear()
        self._names.clear()

    def close(self) -> None:
        """Close the hive that is open, if one is."""
        if self._open is not None:
            self._open = None
            self._handle.hivex_close()

    def _switch(self, hive: HiveName) -> None:
        if self._open is hive:
            return
        self.close()
        with self._damage(hive):
            self._handle.hivex_open(self._paths[hive])
        self._open = hive

    def _ask(self, hive: HiveName, call: Callable[[], Any]) -> Any:
        self._switch(hive)
        with self._damage(hive):
            return call()

    def _text(self, hive: HiveName, call: Callable[[], object]) -> str | None:
        self._switch(hive)
        try:
            return str(call())
        except UnicodeDecodeError:
            return None
        except RuntimeError as err:
            if _NOT_TEXT in str(err):
                return None
            raise self._damaged(hive, err) from err

    @contextmanager
    def _damage(self, hive: HiveName) -> Iterator[None]:
        try:
            yield
        except RuntimeError as err:
            raise self._damaged(hive, err) from err

    def _damaged(self, hive: HiveName, err: RuntimeError) -> ConversionError:
        return ConversionError(
            f"the hive {hive} of the guest's registry ({self._paths[hive]}) cannot be read: {brief(err)}",
            hint="check the guest's disk with chkdsk at the source, start Windows there once and shut it down fully",
        )
