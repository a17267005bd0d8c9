# SPDX-License-Identifier: GPL-2.0-or-later
"""What the doctor found out about one thing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a thing is; MISSING and BROKEN prevent conversions, OPTIONAL is absent and not needed by all of them."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class Finding:
    """One thing that conversions use.

    :param remedy: the command or setting that mends it; None where nothing needs to be mended, or can be.
    """

    name: str
    status: Status
    detail: str
    remedy: str | None = None


def present_or(name: str, found: str | None, status: Status, absent: str, remedy: str | None) -> Finding:
    """Give OK with what was found, or ``status`` with what its absence means."""
    if found is not None:
        return Finding(name, Status.OK, found)
    return Finding(name, status, absent, remedy)
