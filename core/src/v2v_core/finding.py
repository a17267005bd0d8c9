# SPDX-License-Identifier: GPL-2.0-or-later
"""The findings of ``v2v doctor``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The state of a thing. MISSING and BROKEN prevent conversions; OPTIONAL is absent, and only some need it."""

    OK = "ok"
    MISSING = "missing"
    BROKEN = "broken"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class Finding:
    """The state of one thing that conversions use.

    :param remedy: the command or setting that puts it right; None if nothing is wrong, or nothing helps.
    """

    name: str
    status: Status
    detail: str
    remedy: str | None = None


def present_or(name: str, found: str | None, status: Status, absent: str, remedy: str | None) -> Finding:
    """Return an OK finding with ``found`` as its detail. If that is None, return ``status`` with ``absent``."""
    if found is not None:
        return Finding(name, Status.OK, found)
    return Finding(name, status, absent, remedy)
