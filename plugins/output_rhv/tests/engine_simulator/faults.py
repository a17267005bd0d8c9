# SPDX-License-Identifier: GPL-2.0-or-later
"""What the engine can be told to do wrong: a table of faults by call, and how things end that take their time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class Refusal(Exception):
    """The engine says no, as it does: with a status, and a sentence in brackets."""

    def __init__(self, status: int, detail: str, reason: str = "Operation Failed") -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason


class Hangup(Exception):
    """The connection is closed without an answer."""


@dataclass
class Fault:
    """What goes wrong in a call.

    :param after: so many calls go well first. :param times: it happens so often; None for ever.
    :param status: of the answer, with ``detail``; 0: nothing is refused. :param delay: seconds.
    :param hangup: close the connection: ``before`` the call has done its work, or ``after``.
    :param action: is run before the call does its work.
    """

    after: int = 0
    times: int | None = None
    status: int = 0
    detail: str = "[The fault table says so.]"
    delay: float = 0.0
    hangup: str = ""
    action: Callable[[], None] | None = None


@dataclass
class Behaviour:
    """How things end that take their time, each after ``delay`` seconds; "never" is a possible end.

    :param disk: status of a new disk. :param transfer: phase of a new transfer.
    :param finalized: phase of a transfer that is finalized. :param job: status of the job that makes a machine.
    :param removal: a disk that is removed goes; "never": it stays, locked.
    """

    delay: float = 0.05
    disk: str = "ok"
    transfer: str = "transferring"
    finalized: str = "finished_success"
    job: str = "finished"
    removal: str = "gone"


@dataclass
class FaultTable:
    """Faults by call: ``token``, ``disks.add``, ``disks.get``, ``transfers.add``, ``transfers.finalize``, …"""

    faults: dict[str, Fault] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def due(self, call: str) -> Fault | None:
        """Count a call, and give the fault that it is to have."""
        number = self.counts[call] = self.counts.get(call, 0) + 1
        fault = self.faults.get(call)
        if fault is None or number <= fault.after:
            return None
        if fault.times is not None and number > fault.after + fault.times:
            return None
        return fault
