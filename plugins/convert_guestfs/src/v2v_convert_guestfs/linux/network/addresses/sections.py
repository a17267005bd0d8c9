# SPDX-License-Identifier: GPL-2.0-or-later
"""Edit files with [Sections] and Key=value lines: NetworkManager's keyfiles and systemd's .network files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_HEADER = re.compile(r"[ \t]*\[([^\[\]]{1,80})\][ \t\r]*", re.ASCII)


class Sections:
    """The lines of a file with their sections. Lines that are not edited stay as they are, byte for byte."""

    def __init__(self, data: bytes) -> None:
        #: The number of the section, its name (which several sections may share), and the line.
        self._lines: list[tuple[int, str, str]] = []
        number, name = 0, ""
        for line in data.decode("latin-1").split("\n"):
            if header := _HEADER.fullmatch(line):
                number, name = number + 1, header[1]
            self._lines.append((number, name, line))

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        return "\n".join(line for _, _, line in self._lines).encode("latin-1")

    def drop(self, section: str, unwanted: Callable[[str, str], bool]) -> None:
        """Remove the entries for which ``unwanted(key, value)`` is true, from all sections with a name."""
        self._lines = [
            (number, name, line)
            for number, name, line in self._lines
            if name != section or (pair := _pair(line)) is None or not unwanted(*pair)
        ]

    def change(self, section: str, key: str, edit: Callable[[str], str]) -> None:
        """Edit the values of a key, in all sections with a name."""
        for place, (number, name, line) in enumerate(self._lines):
            if name == section and (pair := _pair(line)) is not None and pair[0] == key:
                new = edit(pair[1])
                if new != pair[1]:
                    self._lines[place] = (number, name, f"{key}={new}")

    def drop_sections(self, section: str, unwanted: Callable[[dict[str, str]], bool]) -> None:
        """Remove the sections with a name for whose entries ``unwanted`` is true."""
        numbers = {number for number, name, _ in self._lines if name == section}
        for number in numbers:
            pairs = [_pair(line) for other, _, line in self._lines if other == number]
            if unwanted(dict(pair for pair in pairs if pair is not None)):
                self._lines = [entry for entry in self._lines if entry[0] != number]

    def add(self, section: str, lines: Sequence[str]) -> None:
        """Add lines at the end of the first section with a name. Without one, add it at the end of the file."""
        if not lines:
            return
        number = next((number for number, name, _ in self._lines if name == section), None)
        if number is None:
            while self._lines and not self._lines[-1][2].strip():
                self._lines.pop()
            number = self._lines[-1][0] + 1 if self._lines else 1
            text = [*([""] if self._lines else []), f"[{section}]", *lines, ""]
            self._lines += [(number, section, line) for line in text]
            return
        place = max(place for place, entry in enumerate(self._lines) if entry[0] == number and entry[2].strip()) + 1
        if self._lines[place - 1][2].endswith("\\"):
            # systemd continues such a line on the next one.
            lines = ["", *lines]
        self._lines[place:place] = [(number, section, line) for line in lines]
        if place + len(lines) == len(self._lines):
            # The last line of the file ends with a newline.
            self._lines.append((number, section, ""))


def _pair(line: str) -> tuple[str, str] | None:
    text = line.strip()
    key, equals, value = text.partition("=")
    return (key.strip(), value.strip()) if equals and text[0] not in "#;" else None
