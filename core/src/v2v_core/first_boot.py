# SPDX-License-Identifier: GPL-2.0-or-later
"""What a converted guest did at its first boots, as it wrote it down itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ScriptState(StrEnum):
    """How far a script of the first boot has come."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"
    GIVEN_UP = "given up"


@dataclass(frozen=True, kw_only=True)
class ScriptRun:
    """One script of the first boot.

    :param exit_code: of its last attempt; None before the first has ended.
    :param ended: when that was, in the words and the time zone of the guest.
    """

    name: str
    state: ScriptState
    exit_code: int | None = None
    attempts: int = 0
    ended: str | None = None


@dataclass(frozen=True, kw_only=True)
class FirstBootStatus:
    """How the first boots went.

    :param planned: the guest has, or had, something to do at its first boot.
    :param finished: nothing is left to do, whether the scripts succeeded or not.
    :param log: the end of what the scripts printed.
    """

    planned: bool
    finished: bool = False
    scripts: tuple[ScriptRun, ...] = ()
    log: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether everything was done, and no script failed."""
        return self.finished and all(script.state is ScriptState.DONE for script in self.scripts)
