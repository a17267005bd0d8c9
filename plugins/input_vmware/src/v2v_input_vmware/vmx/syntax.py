# SPDX-License-Identifier: GPL-2.0-or-later
"""Parse VMX files, which have one setting per line: ``scsi0:0.fileName = "disk.vmdk"``.

VMware does not publish the syntax. This parser reads comments that start with ``#``, values with and without quotes,
``|22`` for a character by its hexadecimal code, and names in any case, with dots between their parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

#: Possessive quantifiers keep the time linear in the length of a hostile line.
_LINE = re.compile(
    r'\s*(?P<key>[^\s=#"][^=\s"]*)\s*=\s*+(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s"#][^"#]*+)?)\s*+(?:#.*)?'
)
_ENCODING = re.compile(rb'^[ \t]*\.encoding[ \t]*=[ \t]*"([A-Za-z0-9._-]+)"', re.MULTILINE | re.IGNORECASE)
_ESCAPE = re.compile(r"\|([0-9A-Fa-f]{2})")
_SHOWN = 60


@dataclass(frozen=True)
class Vmx:
    """The settings of a VMX file by their names in lower case, without those of devices that are not present."""

    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """Return a setting, or None."""
        return self.values.get(name.lower())

    def number(self, name: str) -> int | None:
        """Return a setting as an integer, or None if it is missing or not an integer."""
        value = self.get(name)
        return int(value) if value is not None and re.fullmatch(r"\s*-?[0-9]{1,19}\s*", value) else None

    def flag(self, name: str) -> bool:
        """Return whether a setting is true."""
        return (self.get(name) or "").strip().lower() == "true"

    def devices(self, pattern: str) -> list[tuple[tuple[int, ...], str]]:
        """Return the devices whose name matches, with the numbers in the name, and sorted by them.

        :param pattern: regular expression for the whole name in lower case; its groups are the numbers.
        """
        devices: dict[tuple[int, ...], str] = {}
        for key in self.values:
            match = re.fullmatch(pattern, key.split(".", 1)[0])
            if match and "." in key:
                devices[tuple(int(number) for number in match.groups())] = match[0]
        return sorted(devices.items())

    def files(self) -> list[tuple[str, str]]:
        """Return the devices that have a file, and its name, in the order of the VMX file."""
        return [
            (key.removesuffix(".filename"), value) for key, value in self.values.items() if key.endswith(".filename")
        ]


def parse_vmx(data: bytes, warn: Callable[[str], None]) -> Vmx:
    """Parse a VMX file. Lines that cannot be parsed are skipped with a warning.

    :param warn: called for each line that is skipped.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(_decoded(data).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            warn(f"line {number} of the VMX file cannot be parsed and is skipped: {line.strip()[:_SHOWN]!r}")
            continue
        key = match["key"].lower()
        if key in values:
            warn(f"line {number} of the VMX file sets {key} again and is skipped: the first setting counts")
            continue
        values[key] = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), _value(match))
    return Vmx(_present(values))


def _value(match: re.Match[str]) -> str:
    quoted, plain = match["quoted"], match["plain"]
    return quoted if quoted is not None else (plain or "").rstrip()


def _present(values: dict[str, str]) -> dict[str, str]:
    absent = {
        key.removesuffix(".present")
        for key, value in values.items()
        if key.endswith(".present") and value.strip().lower() == "false"
    }
    return {
        key: value
        for key, value in values.items()
        if not any(key == name or key.startswith(f"{name}.") for name in absent)
    }


def _decoded(data: bytes) -> str:
    """Decode a file in the encoding that it names, else in UTF-8, else in Latin-1."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    named = _ENCODING.search(data)
    for encoding in ((named[1].decode("ascii"),) if named else ()) + ("utf-8",):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("latin-1")
