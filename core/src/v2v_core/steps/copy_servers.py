# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks after the servers of the disks that are being copied: one that ends is started again, and the copy goes on."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from v2v_core import served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.copy_process import copy_disk
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.errors import CopyError, V2VError
from v2v_core.hookspecs import CopyResult
from v2v_core.model import NbdkitPlugin, NbdUri
from v2v_core.reporting import StepReport
from v2v_core.served import ServedDisk, ServedOutput
from v2v_core.serving import running_servers, serve_destination_again, serve_source_again

#: Seconds between two looks.
_INTERVAL = 1.0
#: Seconds before each attempt to start the servers of a disk again.
_PAUSES = (0.5, 2.0, 8.0, 20.0, 30.0)
#: Failures that another attempt does not help with.
_FINAL = frozenset({Cause.FULL, Cause.CHANGED, Cause.FENCED, Cause.MISMATCH})


@dataclass
class _Care:
    """What was done for one disk: the attempts so far, and how often its servers were started again."""

    attempts: int = 0
    revived: int = 0
    due: float = 0.0
    failure: str | None = None


class CopyServers:
    """The servers of the disks that are being copied."""

    def __init__(
        self, directory: ConversionDir, tasks: Sequence[CopyTask], report: StepReport, stop: threading.Event
    ) -> None:
        self._directory = directory
        self._report = report
        self._stop = stop
        self._lock = threading.Lock()
        self._tasks = {task.index: task for task in tasks}
        self._disks = {disk.index: disk for disk in served.read_source(directory).disks}
        self._output = served.read_output(directory)
        self._care = {task.index: _Care() for task in tasks}

    def copy(self, task: CopyTask) -> CopyResult:
        """Copy a disk, and again if a server of it had ended: the journal lets the copy go on.

        :raises CopyError: it could not be copied.
        """
        care = self._care[task.index]
        while True:
            revived = care.revived
            try:
                return copy_disk(task, self._report)
            except CopyError as err:
                if err.cause in _FINAL or self._stop.is_set() or not self._waited_for(task.index, revived):
                    raise
                self._report.info(f"{err.message}; the copy goes on, as its servers run again")

    def _waited_for(self, index: int, revived: int) -> bool:
        """Return whether the servers of a disk were started again since; wait until they run, or cannot."""
        while not self._stop.is_set():
            with self._lock:
                care = self._care[index]
                if not self._ended(index, running_servers(self._directory)):
                    return care.revived > revived
                if care.attempts >= len(_PAUSES) or self._is_lost(index):
                    return False
            self.look()
            self._stop.wait(0.1)
        return False

    @contextlib.contextmanager
    def looked_after(self) -> Iterator[None]:
        """Start servers again that end while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_INTERVAL):
                self.look()

        # with the context of this thread: what is started belongs to this run
        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(watch,), name="copy-servers", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def look(self) -> None:
        """Start those servers again that have ended, each disk's at most five times, with growing pauses."""
        with self._lock:
            running = running_servers(self._directory)
            for index, care in self._care.items():
                ended = self._ended(index, running)
                if not ended or self._is_lost(index) or care.attempts >= len(_PAUSES) or self._stop.is_set():
                    continue
                if not care.due:
                    care.due = time.monotonic() + _PAUSES[care.attempts]
                if time.monotonic() >= care.due:
                    self._revive(index, care, ended)

    def _revive(self, index: int, care: _Care, ended: list[str]) -> None:
        names = " and ".join(ended)
        care.due = 0.0
        care.attempts += 1
        try:
            serve_source_again(self._directory, self._disks[index], keep_overlay=True, report=self._report)
            for endpoint, service in zip(self._output.disks, self._output.services, strict=False):
                if endpoint.index == index:
                    serve_destination_again(self._directory, index, service, self._report)
        except (V2VError, OSError) as err:
            if str(err) != care.failure:
                self._report.warning(f"disk {index}: the server {names} has ended, and cannot be started yet: {err}")
            care.failure = str(err)
        else:
            care.revived += 1
            self._report.warning(f"disk {index}: the server {names} had ended, and was started again")

    def _is_lost(self, index: int) -> bool:
        """Return whether there is no use in starting servers again: the conversion has lost its disk."""
        task = self._tasks[index]
        return task.copy_pass is CopyPass.BASE and f"in{index}" in self._ended(index, running_servers(self._directory))

    def _ended(self, index: int, running: frozenset[str]) -> list[str]:
        expected = (*_of_source(self._disks[index]), *_of_destination(self._output, index))
        return [name for name in expected if name not in running]


def _of_source(disk: ServedDisk) -> Iterator[str]:
    if disk.service is not None:
        yield f"in{disk.index}"
        if disk.base is not None:
            yield f"base{disk.index}"
            if isinstance(disk.service, NbdkitPlugin) and disk.service.single:
                yield f"far{disk.index}"


def _of_destination(output: ServedOutput, index: int) -> Iterator[str]:
    for endpoint, service in zip(output.disks, output.services, strict=False):
        if endpoint.index == index and not isinstance(service, NbdUri):
            yield f"out{index}"
