# SPDX-License-Identifier: GPL-2.0-or-later
"""When the copy of the base may begin: once the conversion has trimmed the guest's file systems.

Free space of a thick disk holds old data. It reads as zeros once it is trimmed, and is then not copied.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import Enum

from v2v_core import locks
from v2v_core.conversion_dir import ConversionDir
from v2v_core.events import EventKind, Step
from v2v_core.run_report import read_events_from

_INTERVAL = 0.2


class Trimming(Enum):
    """What is known about the free space of the guest."""

    #: No conversion has begun.
    NONE = "none"
    #: A conversion runs, and has not trimmed yet.
    WAITING = "waiting"
    #: The converter has trimmed, or had nothing to trim, or has ended.
    DONE = "done"
    #: The conversion has failed before it trimmed.
    FAILED = "failed"


class TrimmingWatch:
    """Follows the events of a conversion."""

    def __init__(self, directory: ConversionDir) -> None:
        self._directory = directory
        self._offset = 0
        self._state = Trimming.NONE

    def look(self) -> Trimming:
        """Read the events that are new, and return the state."""
        events, self._offset = read_events_from(self._directory.events, self._offset)
        for event in events:
            if event.step is Step.INPUT_SETUP and event.kind is EventKind.STEP_STARTED:
                self._state = Trimming.NONE
            elif event.step is not Step.CONVERT:
                continue
            elif event.kind is EventKind.STEP_STARTED:
                self._state = Trimming.WAITING
            elif event.kind in {EventKind.TRIMMED, EventKind.STEP_FINISHED}:
                self._state = Trimming.DONE
            elif event.kind is EventKind.STEP_FAILED and self._state is Trimming.WAITING:
                self._state = Trimming.FAILED
        return self._state


def wait_for_trimming(
    directory: ConversionDir,
    stopped: Callable[[], bool],
    *,
    patience: float,
) -> Trimming:
    """Wait until the free space is known, or until it is clear that it will not be.

    :param stopped: returns whether to give up. :param patience: seconds to wait for a conversion to begin.
    :return: ``WAITING`` if ``stopped`` said so.
    """
    watch = TrimmingWatch(directory)
    deadline = time.monotonic() + patience
    waited = False
    while not stopped():
        state = watch.look()
        over = time.monotonic() > deadline
        if state is Trimming.DONE:
            return state
        if state is Trimming.WAITING:
            waited = True
            if over and not locks.is_worked_on(directory, Step.CONVERT):
                # killed: it could not say that it has failed. Looked at again, as it may just have ended
                last = watch.look()
                return Trimming.FAILED if last is Trimming.WAITING else last
        elif state is Trimming.FAILED and waited:
            return state
        elif over:
            # a failure from before this copy began, or no conversion at all
            return Trimming.NONE
        time.sleep(_INTERVAL)
    return Trimming.WAITING
