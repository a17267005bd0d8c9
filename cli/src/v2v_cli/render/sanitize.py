# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes texts that come from guests, servers and files harmless for terminals and logs."""

from __future__ import annotations

import unicodedata

#: Explicit directional formatting: it makes a line read differently from what it says.
_DIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sanitize(text: str) -> str:
    """Return a text on one line, without control characters: no escape sequence of a guest reaches a terminal."""
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
    """Return a path on one line. Invisible characters, which make two paths look alike, become visible."""
    return "".join(
        _REPLACEMENT if unicodedata.category(character) == "Cf" else character for character in sanitize(text)
    )
