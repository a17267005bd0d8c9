# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes texts that come from guests, servers and files harmless for terminals and logs."""

from __future__ import annotations

import re
import unicodedata

from v2v_core.text import printable

#: Explicit directional formatting: it makes a line read differently from what it says.
_DIRECTIONAL = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_BLANKS = re.compile("[\t\n\r]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def sanitize(text: str) -> str:
    """Return a text on one line, without control characters: no escape sequence of a guest reaches a terminal."""
    if text.isascii() and text.isprintable():
        return text
    return _DIRECTIONAL.sub(_REPLACEMENT, printable(_BLANKS.sub(" ", text), _REPLACEMENT))


def sanitize_path(text: str) -> str:
    """Return a path on one line. Invisible characters, which make two paths look alike, become visible."""
    return "".join(
        _REPLACEMENT if unicodedata.category(character) == "Cf" else character for character in sanitize(text)
    )
