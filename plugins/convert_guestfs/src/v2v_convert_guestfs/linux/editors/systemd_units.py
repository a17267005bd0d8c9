# SPDX-License-Identifier: GPL-2.0-or-later
"""Rename disks in systemd's units: ``What=/dev/sda3`` and ``After=dev-sda3.swap``."""

from __future__ import annotations

import re

from v2v_convert_guestfs.devices import DeviceNames

_PATHS = re.compile(r"[ \t]*(?:What|ConditionPath\w+|AssertPath\w+|RequiresMountsFor|Options)[ \t]*=", re.ASCII)
_UNITS = re.compile(
    r"[ \t]*(?:After|Before|Wants|Requires|Requisite|BindsTo|PartOf|Conflicts|Upholds|WantedBy|RequiredBy|Alias)"
    r"[ \t]*=",
    re.ASCII,
)
_UNIT = re.compile(r"(?P<disk>dev-[^\s\"']+?)(?P<kind>\.(?:device|swap))(?![\w.])", re.ASCII)


def unit(data: bytes, names: DeviceNames) -> bytes:
    """Rename disks in a unit, in paths and in the names of other units; nothing in the commands of services."""

    def edit(line: str) -> str:
        if _PATHS.match(line):
            return names.rename_in(line)
        return _UNIT.sub(lambda match: renamed(match[0], names), line) if _UNITS.match(line) else line

    return "\n".join(edit(line) for line in data.decode("latin-1").split("\n")).encode("latin-1")


def renamed(name: str, names: DeviceNames) -> str:
    """Return the new name of the unit of a device, ``dev-sda3.swap``; other names stay."""
    match = _UNIT.fullmatch(name)
    new = names.rename(path_of(match["disk"])) if match else None
    return f"{unit_of(new)}{match['kind']}" if match and new else name


def path_of(name: str) -> str:
    """Return the path that a unit's name without its suffix stands for: ``/dev/sda3`` for ``dev-sda3``."""
    plain = "/" + name.replace("-", "/")
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), plain)


def unit_of(path: str) -> str:
    """Return the name of the unit of a device, without its suffix."""
    words = path.strip("/").split("/")
    return "-".join(re.sub(r"[^\w:.]", lambda match: f"\\x{ord(match[0]):02x}", word, flags=re.ASCII) for word in words)
