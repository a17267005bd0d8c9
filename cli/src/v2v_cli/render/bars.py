# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress bars on a terminal, one for each disk: bytes, speed, and remaining time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from v2v_core.errors import V2VError
from v2v_core.events import Event, EventKind, Step

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: Columns that the bars leave free, because a terminal writes ^C behind them for each Ctrl-C. If that went over the end
#: of the line, the bars would be drawn once more below it.
_FREE_COLUMNS = 6
_LEAST_WIDTH = 20
#: Columns that a terminal must have for the amounts and the speed, or else the bars would need two lines each.
_WIDE = 72


class Bars:
    """Shows the progress of the copy; shows nothing if the stream is not a terminal.

    :param clock: returns seconds, from which speed and remaining time are computed.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        self._progress: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._over = False

    def __call__(self, event: Event) -> None:
        """Update the bar of a disk."""
        if event.kind is EventKind.PROGRESS and event.step is Step.COPY and event.disk is not None:
            self._update(event.disk, event.done or 0, event.total)
        elif event.step is Step.COPY and event.kind is EventKind.STEP_STARTED:
            self._over = False
        elif event.step is Step.COPY and event.kind in {EventKind.STEP_FINISHED, EventKind.STEP_FAILED}:
            self.close()

    def failed(self, error: V2VError) -> None:
        """Stop drawing, so that the error follows below the bars."""
        self.close()

    def close(self) -> None:
        """Stop drawing; the bars stay on the screen. The progress of a copy that is being stopped is not shown."""
        self._over = True
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
            self._tasks.clear()

    def _update(self, disk: int, done: int, total: int | None) -> None:
        if self._over:
            return
        if self._progress is None:
            self._progress = self._make()
            self._progress.start()
        if disk not in self._tasks:
            self._tasks[disk] = self._progress.add_task(f"disk {disk}", total=total)
        self._progress.update(self._tasks[disk], completed=done, total=total)

    def _make(self) -> Progress:
        from rich.console import Console, Group
        from rich.constrain import Constrain
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(file=self._stream)

        class Narrow(Progress):
            """Leaves columns free at the end of the line."""

            def get_renderable(self) -> Constrain:
                width = max(console.width - _FREE_COLUMNS, _LEAST_WIDTH)
                return Constrain(Group(*self.get_renderables()), width)

        amounts = (DownloadColumn(binary_units=True), TransferSpeedColumn()) if console.width >= _WIDE else ()
        return Narrow(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            *amounts,
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            get_time=self._clock,
            # stage lines appear above the bars; output to a file or pipe must not be diverted to the terminal
            redirect_stdout=sys.stdout.isatty(),
        )
