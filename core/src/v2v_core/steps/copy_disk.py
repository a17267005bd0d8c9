# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies one disk, and serves its ends again if a server dies meanwhile: the journal lets the copy go on."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from v2v_core import served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.copy_process import copy_disk
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.errors import CopyError, V2VError
from v2v_core.hookspecs import CopyResult
from v2v_core.model import NbdkitPlugin, NbdUri
from v2v_core.reporting import StepReport
from v2v_core.served import ServedDisk
from v2v_core.serving import running_servers, serve_destination_again, serve_source_again

#: Seconds before each attempt to serve an end again.
_PAUSES = (0.5, 2.0, 8.0, 20.0, 30.0)
#: Failures that another attempt does not help with.
_FINAL = frozenset({Cause.FULL, Cause.CHANGED, Cause.FENCED, Cause.MISMATCH})


def copy_or_serve_again(
    directory: ConversionDir, task: CopyTask, report: StepReport, stop: threading.Event
) -> CopyResult:
    """Copy a disk. If a server of it has ended, start it again, at most five times, and go on.

    :param stop: set when there is no use in going on.
    :raises CopyError: it could not be copied.
    """
    pauses = iter(_PAUSES)
    while True:
        try:
            return copy_disk(task, report)
        except CopyError as err:
            disk = next(disk for disk in served.read_source(directory).disks if disk.index == task.index)
            if err.cause in _FINAL or stop.is_set():
                raise
            ended = _ended(directory, task, disk)
            # without its server, the conversion of this disk has failed
            if not ended or (task.copy_pass is CopyPass.BASE and f"in{task.index}" in ended):
                raise
            report.warning(f"{err.message}; the server {', '.join(ended)} has ended and is started again")
            if not _serve_again(directory, task, disk, report, pauses, stop):
                raise


def _ended(directory: ConversionDir, task: CopyTask, disk: ServedDisk) -> list[str]:
    """Return the names of the servers of a disk that should run and do not."""
    expected = []
    if disk.service is not None:
        expected = ["in", "base"] if disk.base is not None else ["in"]
        if isinstance(disk.service, NbdkitPlugin) and disk.service.single:
            expected.append("far")
    output = served.read_output(directory)
    services = dict(zip((endpoint.index for endpoint in output.disks), output.services, strict=False))
    if task.index in services and not isinstance(services[task.index], NbdUri):
        expected.append("out")
    running = running_servers(directory)
    return [f"{kind}{task.index}" for kind in expected if f"{kind}{task.index}" not in running]


def _serve_again(
    directory: ConversionDir,
    task: CopyTask,
    disk: ServedDisk,
    report: StepReport,
    pauses: Iterator[float],
    stop: threading.Event,
) -> bool:
    """Serve the ends of a disk again; return whether they are served."""
    for pause in pauses:
        if stop.wait(pause):
            return False
        try:
            serve_source_again(directory, disk, keep_overlay=True, report=report)
            output = served.read_output(directory)
            for endpoint, service in zip(output.disks, output.services, strict=False):
                if endpoint.index == task.index:
                    serve_destination_again(directory, task.index, service, report)
        except V2VError as err:
            report.warning(f"disk {task.index} cannot be served again yet: {err.message}")
        else:
            return True
    return False
