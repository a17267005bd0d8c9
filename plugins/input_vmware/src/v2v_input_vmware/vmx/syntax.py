# SPDX-License-Identifier: GPL-2.0-or-later
"""The syntax of VMX files: ``scsi0:0.fileName = "disk.vmdk"``, one a line.

VMware does not publish it. What is read here: comments with ``#``, quotes around every value, ``|22`` for a character
by its hexadecimal code, names without regard to case, dots between the parts of a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

_LINE = re.compile(r'\s*(?P<key>[^\s=#"][^=\s"]*)\s*=\s*"(?P<value>[^"]*)"\s*')
_ENCODING = re.compile(rb'^\s*\.encoding\s*=\s*"([A-Za-z0-9._-]+)"', re.MULTILINE | re.IGNORECASE)
_ESCAPE = re.compile(r"\|([0-9A-Fa-f]{2})")
_SHOWN = 60


@dataclass(frozen=True)
class Vmx:
    """The settings of a VMX file, by their names in lower case; those of devices that are not present are left out."""

    values: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """Give a setting, or None."""
        return self.values.get(name.lower())

    def number(self, name: str) -> int | None:
        """Give a setting as a whole number; None if it is not there or is none."""
        value = self.get(name)
        return int(value) if value is not None and re.fullmatch(r"\s*-?[0-9]{1,19}\s*", value) else None

    def flag(self, name: str) -> bool:
        """Tell whether a setting is true."""
        return (self.get(name) or "").strip().lower() == "true"

    def devices(self, pattern: str) -> list[tuple[tuple[int, ...], str]]:
        """List the devices whose name matches, in the order of the numbers in it.

        :param pattern: of the whole name in lower case; its groups are the numbers.
        """
        found: dict[tuple[int, ...], str] = {}
        for key in self.values:
            match = re.fullmatch(pattern, key.split(".", 1)[0])
            if match and "." in key:
                found[tuple(int(number) for number in match.groups())] = match[0]
        return sorted(found.items())


def parse_vmx(data: bytes, warn: Callable[[str], None]) -> Vmx:
    """Read a VMX file. What is not understood is left out, and told.

    :param warn: is called with what is wrong in a line.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(_decoded(data).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            warn(f"line {number} of the VMX file is not understood and left out: {line.strip()[:_SHOWN]!r}")
            continue
        key = match["key"].lower()
        if key in values:
            warn(f"line {number} of the VMX file sets {key} again and is left out: the first setting counts")
            continue
        values[key] = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), match["value"])
    return Vmx(_present(values))


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
    """Decode as the file says itself; UTF-8 if it does not, or names what nobody knows."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    named = _ENCODING.search(data)
    for encoding in ((named[1].decode("ascii"),) if named else ()) + ("utf-8",):
        try:
            return data.decode(encoding)
        except (LookupError, UnicodeError, ValueError):
            continue
    return data.decode("latin-1")
