# SPDX-License-Identifier: GPL-2.0-or-later
"""Text that comes from guests, servers and files, made fit for terminals, logs, file names and limits of length."""

from __future__ import annotations

import hashlib
import re

# C0, DEL and C1: a guest's host name must not send commands to the terminal. Some readers end a line at the line and
# paragraph separators; lone surrogates cannot be encoded.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
#: ``/`` separates directories; XML 1.0 has no U+FFFE and U+FFFF (section 2.2), and most names also go into XML.
_NOT_IN_NAMES = re.compile("[/\ufffe\uffff]")
#: ``~`` and eight hexadecimal digits.
_MARK_LENGTH = 9


def printable(text: str, replacement: str = " ") -> str:
    """Return a text on one line, with a replacement for each character that is not text.

    These are the control characters (C0, DEL, C1), tabs and newlines among them, the line and paragraph separators
    (U+2028, U+2029), and lone surrogates, which stand for bytes that are not UTF-8.
    """
    return _CONTROL.sub(replacement, text)


def visible(text: str, replacement: str = " ") -> str:
    """Return a text on one line, with a replacement for each character that is not shown as it is.

    Stricter than ``printable``, for text that a guest chose: besides control characters, this replaces the characters
    that change how the others are shown (U+202E turns the text around), those without a width, unassigned ones, and
    all spaces but the plain one (``str.isprintable``).
    """
    return "".join(character if character.isprintable() else replacement for character in text)


def cut_name(text: str, limit: int) -> str:
    """Cut a name to at most ``limit`` bytes of UTF-8, between two characters.

    A cut name ends in ``~`` and eight hexadecimal digits of a checksum of the whole name, so that two long names that
    begin alike stay different. A lone surrogate counts as one byte, as in a file name.
    """
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: _MARK_LENGTH - 1]
    return f"{encoded[: limit - _MARK_LENGTH].decode('utf-8', 'ignore')}~{digest}"


def object_name(text: str, limit: int) -> str:
    """Make a name for a file, a volume or a domain from the name of a guest.

    Letters of every script, spaces and quotes stay. Slashes, newlines, control characters, bytes that are not UTF-8
    and characters that XML 1.0 cannot hold become ``_``. A name of more than ``limit`` bytes is cut as by
    ``cut_name``. A name without any visible character becomes ``unnamed``.
    """
    name = cut_name(_NOT_IN_NAMES.sub("_", printable(text, "_")), limit)
    return name if name.strip() else "unnamed"
