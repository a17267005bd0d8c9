# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs the process that copies one disk (``worker``): passes on what it says, and turns its failure into an error."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from v2v_core.copying.messages import Cause, CopyMessage
from v2v_core.copying.task import CopyTask
from v2v_core.environment import child_environment
from v2v_core.errors import CopyError
from v2v_core.events import Reporter
from v2v_core.hookspecs import CopyResult
from v2v_core.records import from_json, to_json
from v2v_core.space import amount

_WORKER = "v2v_core.copying.worker"
#: Bytes. A longer line is no message of ours.
_LONGEST_LINE = 1024 * 1024
#: Bytes of stderr that are shown.
_TAIL = 8192

_HINTS = {
    Cause.SOURCE: "the logs of the servers in1, base1 … show why the source failed",
    Cause.DESTINATION: "the logs of the servers out1, out2 … show why the destination failed",
    Cause.FULL: "free space at the destination, and go on with 'v2v resume DIR' or the same step again: as long as the "
    "conversion directory is kept, what is copied already is not copied again",
    Cause.CHANGED: "what was copied must not be mixed with what the source holds now: begin again with a new directory",
    Cause.FENCED: "another process has taken this conversion over and goes on with it",
    Cause.MISMATCH: "the storage of the destination, or the way to it, changes data: check it before anything is "
    "copied there again",
}


def copy_disk(task: CopyTask, report: Reporter) -> CopyResult:
    """Copy one disk in a process of its own.

    The process belongs to the run (``environment``). To stop the copy, stop the process: it writes down what is done.

    :raises CopyError: it could not be copied; the error names the disk, the end that failed, and the offset.
    """
    reader, writer = os.pipe()
    # -P: nothing in the current directory can be taken for a module of ours
    argv = [sys.executable, "-P", "-m", _WORKER, str(writer)]
    with os.fdopen(reader, "rb") as messages, tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                pass_fds=[writer],
                # a session of its own: Ctrl-C goes to the supervisor, which stops the process
                start_new_session=True,
                env=child_environment(LC_ALL="C.UTF-8"),
            )
        finally:
            os.close(writer)
        with process:
            _send(process, task)
            last = _relay(messages, task, report)
            status = process.wait()
        text = _tail(output)
    if text:
        report.debug(f"disk {task.index}: {text}")
    if status == 0 and last is not None and last.finished:
        return CopyResult(
            index=task.index,
            size=task.size,
            copied=last.copied,
            zeroed=last.zeroed,
            digest=last.digest,
            verified=last.verified,
        )
    raise _error(task, last, status, text)


def _send(process: subprocess.Popen[bytes], task: CopyTask) -> None:
    if process.stdin is None:
        raise TypeError("the process is started with a pipe")
    # a process that is dead already is reported by its status
    with contextlib.suppress(BrokenPipeError), process.stdin as stream:
        stream.write(json.dumps(to_json(task)).encode())


def _relay(messages: IO[bytes], task: CopyTask, report: Reporter) -> CopyMessage | None:
    """Pass messages on as they come. Return the one that says how the copy ended."""
    end: CopyMessage | None = None
    total = 0
    for message in _messages(messages):
        if message.debug is not None:
            report.debug(f"disk {task.index}: {message.debug}")
        if message.warning is not None:
            report.warning(f"disk {task.index}: {message.warning}")
        if message.done is not None and message.total:
            total = message.total
            report.progress(min(message.done, total), total, disk=task.index)
        if message.failed is not None or message.finished:
            end = message
    if end is not None and end.finished:
        # a disk of which nothing had to be copied is complete, too
        total = total or task.size
        report.progress(total, total, disk=task.index)
    return end


def _messages(stream: IO[bytes]) -> Iterator[CopyMessage]:
    while line := stream.readline(_LONGEST_LINE):
        # a line is cut short if the process is killed while it writes
        with contextlib.suppress(ValueError):
            yield from_json(json.loads(line), CopyMessage)


def _error(task: CopyTask, end: CopyMessage | None, status: int, text: str) -> CopyError:
    if end is None or end.failed is None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        how = f"was killed by signal {-status}" if status < 0 else f"ended with exit status {status}"
        reason = f"the process that copies it {how}"
        if status > 0 and lines:
            reason += f": {lines[-1]}"
        return CopyError(
            f"disk {task.index} could not be copied: {reason}", disk=task.index, hint="see the log of the step"
        )
    where = ""
    if end.offset is not None and not re.search(rf"\b{end.offset}\b", end.failed):
        where = f" at byte {end.offset}"
    reason = end.failed
    if end.cause is Cause.FULL and end.missing:
        reason += f"; {amount(end.missing)} ({end.missing} bytes) are still to be written"
    hint = end.hint or (_HINTS.get(end.cause) if end.cause is not None else None) or "see the log of the step"
    return CopyError(
        f"disk {task.index} could not be copied{where}: {reason}",
        disk=task.index,
        hint=hint,
        cause=end.cause,
        offset=end.offset,
    )


def _tail(output: IO[bytes]) -> str:
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _TAIL))
    return output.read().decode("utf-8", "replace").strip()
