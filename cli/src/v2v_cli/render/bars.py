# SPDX-License-Identifier: GPL-2.0-or-later
"""Progress bars on a terminal: bytes, speed, and remaining time of each disk, and of all disks together.

They count the bytes that have to move, and not the size of the disks.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from v2v_core.errors import V2VError
from v2v_core.events import Event, EventKind, Step

if TYPE_CHECKING:
    from rich.progress import Progress, Task, TaskID
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

#: Columns that the bars leave free, because a terminal writes ^C behind them for each Ctrl-C. If that went over the end
#: of the line, the bars would be drawn once more below it.
_FREE_COLUMNS = 6
_LEAST_WIDTH = 20
#: Columns that a terminal must have for the amounts and the speed, or else the bars would need two lines each.
_WIDE = 72
#: The copy, and an input that downloads the disks first.
_WITH_BARS = frozenset({Step.INPUT_SETUP, Step.COPY})
#: Stands for all disks; disks count from 1.
_TOGETHER = 0
#: The most that is shown of what is not complete.
_NOT_COMPLETE = 0.999


class Bars:
    """Shows the progress of the copy, and of a download before; shows nothing if the stream is not a terminal.

    A copy of the base and the copy of what the conversion has changed are two steps, and have bars of their own.

    :param clock: returns seconds, from which speed and remaining time are computed.
    """

    def __init__(self, stream: TextIO | None = None, *, clock: Callable[[], float] | None = None) -> None:
        self._stream = stream or sys.stderr
        self._clock = clock
        # the conversion and the copy of the base report from threads of their own
        self._lock = threading.RLock()
        self._progress: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        self._amounts: dict[int, tuple[int, int]] = {}
        self._shown: dict[int, float] = {}
        self._over = False

    def __call__(self, event: Event) -> None:
        """Update the bar of a disk."""
        if event.step not in _WITH_BARS:
            return
        with self._lock:
            if event.kind is EventKind.PROGRESS and event.disk is not None and event.total is not None:
                self._update(event.disk, event.done or 0, event.total)
            elif event.kind is EventKind.STEP_STARTED:
                self._over = False
            elif event.kind in {EventKind.STEP_FINISHED, EventKind.STEP_FAILED}:
                self.close()

    def failed(self, error: V2VError) -> None:
        """Stop drawing, so that the error follows below the bars."""
        self.close()

    def close(self) -> None:
        """Stop drawing; the bars stay on the screen. The progress of a copy that is being stopped is not shown."""
        with self._lock:
            self._over = True
            if self._progress is not None:
                self._progress.stop()
                self._progress = None
            for known in (self._tasks, self._amounts, self._shown):
                known.clear()

    def _update(self, disk: int, done: int, total: int) -> None:
        if self._over:
            return
        if self._progress is None:
            self._progress = self._make()
            self._progress.start()
        self._amounts[disk] = (done, total)
        self._draw(self._progress, disk, f"disk {disk}", done, total)
        if len(self._amounts) > 1:
            amounts = self._amounts.values()
            done, total = (sum(numbers) for numbers in zip(*amounts, strict=True))
            self._draw(self._progress, _TOGETHER, "together", done, total)

    def _draw(self, progress: Progress, number: int, name: str, done: int, total: int) -> None:
        fraction = 1.0 if done >= total else min(done / total, _NOT_COMPLETE)
        if done < total:
            # more to do came to light, such as what the conversion has changed: the bar waits, and does not run back
            fraction = max(fraction, min(self._shown.get(number, 0.0), _NOT_COMPLETE))
        self._shown[number] = fraction
        if number in self._tasks:
            progress.update(self._tasks[number], completed=done, total=total, shown=fraction)
        else:
            # what was copied earlier is not taken for speed
            self._tasks[number] = progress.add_task(name, completed=done, total=total, shown=fraction, number=number)

    def _make(self) -> Progress:
        from rich.console import Console, Group
        from rich.constrain import Constrain
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        console = Console(file=self._stream)

        class Bar(BarColumn):
            """Draws the part that is shown."""

            def render(self, task: Task) -> ProgressBar:
                return ProgressBar(total=1.0, completed=task.fields["shown"], width=self.bar_width)

        class Percent(ProgressColumn):
            """Writes the part that is shown."""

            def render(self, task: Task) -> Text:
                return Text(f"{int(task.fields['shown'] * 100):3d}%", style="progress.percentage")

        class Narrow(Progress):
            """Leaves columns free at the end of the line; puts the bar of all disks below the others."""

            def get_renderable(self) -> Constrain:
                width = max(console.width - _FREE_COLUMNS, _LEAST_WIDTH)
                tasks = sorted(self.tasks, key=lambda task: (task.fields["number"] == _TOGETHER, task.fields["number"]))
                table: Table = self.make_tasks_table(tasks)
                return Constrain(Group(table), width)

        amounts = (DownloadColumn(binary_units=True), TransferSpeedColumn()) if console.width >= _WIDE else ()
        return Narrow(
            TextColumn("{task.description}"),
            Bar(),
            Percent(),
            *amounts,
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            get_time=self._clock,
            # stage lines appear above the bars; output to a file or pipe must not be diverted to the terminal
            redirect_stdout=sys.stdout.isatty(),
        )
