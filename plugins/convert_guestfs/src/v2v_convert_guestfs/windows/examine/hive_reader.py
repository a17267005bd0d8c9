# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the written SYSTEM hive with another reader than the one that wrote it.

It is regipy, which is pure Python: the hive is a file of the guest and may be anything. Whatever goes wrong in it means
that a fact is not known.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.examine.verdicts import UnknownError
from v2v_convert_guestfs.windows.registry.hives import parts

#: What a value may be: a number, a text, texts, or bytes.
Content = int | str | tuple[str, ...] | bytes

#: Bytes of a hive, and keys and values of one key. Windows has at most 2 GiB for a hive, and real ones have 200 MiB.
_LONGEST_HIVE = 512 * 1024 * 1024
_MOST = 20_000
#: Bytes of all values of one key.
_LONGEST_VALUES = 16 * 1024 * 1024
_DEFAULT = "(default)"
#: Where the cells begin, from which the offsets in a hive are counted. A cell begins with its size and its kind.
_CELLS = 4096


class HiveReader(Protocol):
    """Reads keys and values of a hive by their paths; names are compared without case."""

    def values(self, path: str) -> dict[str, Content] | None:
        """Return the values of a key by their names in lower case, or None if there is no such key.

        :raises UnknownError: that cannot be read.
        """


class RegipyReader:
    """A hive in a file of the host."""

    def __init__(self, path: Path) -> None:
        """Open the hive.

        :raises UnknownError: it cannot be read.
        """
        from regipy import registry

        for name in ("regipy", "regipy.registry", "regipy.utils"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        with _errors("the hive"):
            open_hive: Any = registry.RegistryHive
            self._hive = open_hive(str(path))
            # regipy takes the first cell for the root. The header says which one it is.
            cell = registry.Cell(cell_type="nk", offset=_CELLS + self._hive.header.root_key_offset + 6, size=0)
            root: Any = registry.NKRecord
            self._keys: dict[str, Any] = {"": root(cell, self._hive._stream)}

    def values(self, path: str) -> dict[str, Content] | None:
        """Return the values of a key by their names in lower case, or None if there is no such key."""
        with _errors(path):
            key = self._key(parts(path.lower()))
            if key is None:
                return None
            found: dict[str, Content] = {}
            room = _LONGEST_VALUES
            for value in islice(key.iter_values(as_json=False, trim_values=False), _MOST):
                content = _content(value.value)
                room -= len(content) if isinstance(content, bytes | str) else 0
                if room < 0:
                    raise UnknownError(f"{path} has more than {_LONGEST_VALUES} bytes of values")
                found["" if value.name == _DEFAULT else str(value.name).lower()] = content
            return found

    def _key(self, names: list[str]) -> Any:
        path = "\\".join(names)
        if path not in self._keys:
            above = self._key(names[:-1])
            below = islice(above.iter_subkeys(), _MOST) if above is not None else ()
            self._keys[path] = next((key for key in below if key.name.lower() == names[-1]), None)
        return self._keys[path]


@contextmanager
def system_hive(session: Session, path: str) -> Iterator[HiveReader]:
    """Copy a hive out of the guest and read it.

    :raises UnknownError: it cannot be copied or read.
    """
    with tempfile.TemporaryDirectory(prefix="examine-", dir=session.request.temporary) as place:
        copy = Path(place, "SYSTEM")
        try:
            size = int(session.handle.filesize(path))
            if size > _LONGEST_HIVE:
                raise UnknownError(f"{path} has {size} bytes")
            session.handle.download(path, str(copy))
        except RuntimeError as err:
            raise UnknownError(f"{path} cannot be copied out of the guest: {brief(err)}") from err
        yield RegipyReader(copy)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except UnknownError:
        raise
    except Exception as err:
        # The reader has errors of many kinds for what a damaged hive may have.
        raise UnknownError(f"{what} cannot be read: {brief(err)}") from err


def _content(value: object) -> Content:
    match value:
        case bool() | int():
            return int(value)
        case str():
            return value.partition("\0")[0]
        case list() | tuple():
            return tuple(str(text) for text in value if text)
        case bytes() | bytearray():
            return bytes(value)
    return b""
