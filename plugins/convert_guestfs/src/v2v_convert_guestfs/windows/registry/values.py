# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of the registry: types and their bytes.

The numbers of the types are those of Windows (winnt.h, REG_*). Text is UTF-16LE and ends with a NUL; the content of a
guest's hive may be anything, so every reader of a value returns None for what it is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

#: Bytes: hivex writes longer values in a form that other readers of hives refuse.
LONGEST_VALUE = 16344


class Type(IntEnum):
    """The type of a value."""

    NONE = 0
    SZ = 1
    EXPAND_SZ = 2
    BINARY = 3
    DWORD = 4
    DWORD_BIG_ENDIAN = 5
    LINK = 6
    MULTI_SZ = 7
    RESOURCE_LIST = 8
    FULL_RESOURCE_DESCRIPTOR = 9
    RESOURCE_REQUIREMENTS_LIST = 10
    QWORD = 11


@dataclass(frozen=True)
class Value:
    """A value without its name.

    :param type: a number of ``Type``; drivers use others as well. :param data: the bytes, as they are in the hive.
    """

    type: int
    data: bytes

    @property
    def text(self) -> str | None:
        """The text of a REG_SZ or REG_EXPAND_SZ up to its first NUL; None for other types and for what is no UTF-16."""
        if self.type not in {Type.SZ, Type.EXPAND_SZ}:
            return None
        texts = _split(self.data)
        return None if texts is None else texts[0]

    @property
    def texts(self) -> tuple[str, ...] | None:
        """The texts of a REG_MULTI_SZ without the empty one at its end; None for other types and for no UTF-16."""
        if self.type != Type.MULTI_SZ:
            return None
        texts = _split(self.data)
        return None if texts is None else tuple(text for text in texts if text)

    @property
    def number(self) -> int | None:
        """The number of a REG_DWORD, a big-endian one or a REG_QWORD; None for other types and for a wrong size."""
        sizes = {Type.DWORD: 4, Type.DWORD_BIG_ENDIAN: 4, Type.QWORD: 8}
        if len(self.data) != sizes.get(Type(self.type) if self.type in set(Type) else Type.NONE, -1):
            return None
        return int.from_bytes(self.data, "big" if self.type == Type.DWORD_BIG_ENDIAN else "little")

    def __str__(self) -> str:
        """Return the value for a report, on one line and cut."""
        name = f"REG_{Type(self.type).name}" if self.type in set(Type) else f"type {self.type}"
        shown: object = self.text
        if shown is None:
            shown = self.number if self.texts is None else ", ".join(self.texts)
        if shown is None:
            shown = self.data[:32].hex(" ")
        return f"{str(shown)[:200]!r} ({name})" if not isinstance(shown, int) else f"{shown} ({name})"


def sz(text: str) -> Value:
    """Return a REG_SZ."""
    return Value(Type.SZ, _encode(text))


def expand_sz(text: str) -> Value:
    """Return a REG_EXPAND_SZ."""
    return Value(Type.EXPAND_SZ, _encode(text))


def multi_sz(*texts: str) -> Value:
    """Return a REG_MULTI_SZ."""
    return Value(Type.MULTI_SZ, b"".join(map(_encode, texts)) + b"\0\0")


def dword(number: int) -> Value:
    """Return a REG_DWORD."""
    return Value(Type.DWORD, number.to_bytes(4, "little"))


def qword(number: int) -> Value:
    """Return a REG_QWORD."""
    return Value(Type.QWORD, number.to_bytes(8, "little"))


def binary(data: bytes) -> Value:
    """Return a REG_BINARY."""
    return Value(Type.BINARY, data)


def _encode(text: str) -> bytes:
    return f"{text}\0".encode("utf-16-le")


def _split(data: bytes) -> list[str] | None:
    try:
        return data[: len(data) & ~1].decode("utf-16-le").split("\0")
    except UnicodeDecodeError:
        return None
