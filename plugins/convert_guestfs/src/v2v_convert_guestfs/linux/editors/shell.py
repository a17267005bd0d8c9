# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and edit shell assignments (/etc/default/*, os-release, initramfs-tools), keeping their quotes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.linux.editors.lines import ended

_ASSIGNMENT = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<append>\+?)=", re.ASCII | re.MULTILINE
)


@dataclass(frozen=True)
class Assignment:
    """One assignment: its value, quotes included, is ``text[start:end]``."""

    name: str
    start: int
    end: int


def assignments(text: str) -> Iterator[Assignment]:
    """Yield the assignments at the beginnings of lines, up to the first whose quotes never end."""
    position = 0
    while match := _ASSIGNMENT.search(text, position):
        end = _end_of_word(text, match.end())
        if end is None:
            return
        yield Assignment(match["name"], match.end(), end)
        position = end


def is_whole(data: bytes) -> bool:
    """Return whether every quote ends. If not, a line added at the end would be inside the quotes."""
    text = data.decode("latin-1")
    position = 0
    while match := _ASSIGNMENT.search(text, position):
        end = _end_of_word(text, match.end())
        if end is None:
            return False
        position = end
    return True


def edit_values(data: bytes, names: re.Pattern[str], edit: Callable[[str], str]) -> bytes:
    """Edit the values of the variables whose whole name matches; ``edit`` sees them with their quotes."""
    text = data.decode("latin-1")
    parts: list[str] = []
    position = 0
    for found in assignments(text):
        if names.fullmatch(found.name):
            parts += [text[position : found.start], edit(text[found.start : found.end])]
            position = found.end
    parts.append(text[position:])
    return "".join(parts).encode("latin-1")


def value(data: bytes, name: str) -> str | None:
    """Return the last value of a variable without its quotes and with nothing expanded, or None."""
    text = data.decode("latin-1")
    found = None
    for assignment in assignments(text):
        if assignment.name == name:
            found = unquoted(text[assignment.start : assignment.end])
    return found


def set_value(data: bytes, name: str, new: str) -> bytes:
    """Set a variable, in its last assignment or at the end. ``new`` is put in single quotes if needed.

    :raises ValueError: the value contains a single quote or a newline.
    """
    if "'" in new or "\n" in new:
        raise ValueError(f"not fit for a shell assignment: {new!r}")
    word = new if re.fullmatch(r"[A-Za-z0-9_./:=+-]+", new, re.ASCII) else f"'{new}'"
    text = data.decode("latin-1")
    place = None
    for assignment in assignments(text):
        if assignment.name == name:
            place = assignment
    if place is None:
        return (ended(text) + f"{name}={word}\n").encode("latin-1")
    return (text[: place.start] + word + text[place.end :]).encode("latin-1")


def remove(data: bytes, names: re.Pattern[str]) -> bytes:
    """Remove the lines with assignments to variables whose whole name matches.

    An assignment that shares its line with something else is emptied.
    """
    text = data.decode("latin-1")
    parts: list[str] = []
    position = 0
    for found in assignments(text):
        if not names.fullmatch(found.name):
            continue
        begin = text.rfind("\n", 0, found.start) + 1
        end = text.find("\n", found.end)
        end = len(text) if end < 0 else end + 1
        if begin >= position and re.fullmatch(r"[ \t]*(?:#[^\n]*)?\r?\n?", text[found.end : end], re.ASCII):
            parts.append(text[position:begin])
            position = end
        else:
            parts.append(text[position : found.start])
            position = found.end
    parts.append(text[position:])
    return "".join(parts).encode("latin-1")


def unquoted(word: str) -> str:
    """Return a word without its quotes; nothing in it is expanded."""
    return re.sub(
        r"'([^']*)'|\"((?:[^\"\\]|\\.)*)\"", lambda m: m[1] if m[1] is not None else m[2], word, flags=re.DOTALL
    )


def _end_of_word(text: str, position: int) -> int | None:
    quote = ""
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\" and quote == '"':
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == "\\":
            position += 1
        elif char in " \t\n;&|":
            return position
        position += 1
    return None if quote else min(position, len(text))
