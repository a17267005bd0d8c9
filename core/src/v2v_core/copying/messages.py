# SPDX-License-Identifier: GPL-2.0-or-later
"""What a copy process says to the copy step, as JSON lines."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Which end made a copy fail."""

    SOURCE = "source"
    DESTINATION = "destination"
    #: The destination is full. :attr:`CopyMessage.missing` says how many bytes it lacks.
    FULL = "full"
    #: The source is not what was copied before.
    CHANGED = "changed"
    #: Another process has taken the directory over.
    FENCED = "fenced"
    #: The destination does not hold what was written to it.
    MISMATCH = "mismatch"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class CopyMessage:
    """One message; only what it is about is set.

    :param done: bytes of data that are copied, those of earlier processes included, of ``total``.
    :param warning: for the user: something was repeated, and the copy goes on. :param debug: for the log.
    :param failed: why the copy failed. :param hint: what helps. :param cause: which end failed.
    :param offset: where, in bytes. :param missing: bytes that a full destination lacks.
    :param finished: the disk is copied and flushed: the fields below count.
    :param copied: bytes read and written by this process. :param zeroed: bytes zeroed by it.
    :param digest: root of the hash tree in hexadecimal; None if it was not taken.
    :param verified: the destination was read back and is right.
    """

    done: int | None = None
    total: int | None = None
    warning: str | None = None
    debug: str | None = None
    failed: str | None = None
    hint: str | None = None
    cause: Cause | None = None
    offset: int | None = None
    missing: int | None = None
    finished: bool = False
    copied: int = 0
    zeroed: int = 0
    digest: str | None = None
    verified: bool = False
