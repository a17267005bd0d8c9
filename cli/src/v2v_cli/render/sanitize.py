# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts of guests, servers and files made harmless for terminals and logs."""

from __future__ import annotations

import unicodedata
from typing import TextIO

#: Explicit directional formatting: it makes a line read differently from what it says.
_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sanitize(text: str) -> str:
    """Give a text on one line, without control characters: no escape sequence of a guest reaches a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_harmless(character) for character in text)


def _harmless(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in _DIRECTIONAL or unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
        return _REPLACEMENT
    return character


def sanitize_path(text: str) -> str:
    """Give the path of a file on one line; characters that nobody sees, which make two paths look alike, are shown."""
    return "".join(
        _REPLACEMENT if unicodedata.category(character) == "Cf" else character for character in sanitize(text)
    )


def sanitize_created(text: str, stream: TextIO) -> str:
    """Return the name of something that was created, on one line, as a stream wants it.

    Where a program reads it, bytes of a path that are not text are as the file system has them (``streams.py``); a
    terminal gets a replacement.
    """
    if stream.isatty():
        return sanitize(text)
    return "".join(character if "\udc80" <= character <= "\udcff" else _harmless(character) for character in text)
