# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that copies one disk: ``python -m v2v_core.copying.worker FD``, with a ``CopyTask`` as JSON on stdin.

It writes messages as JSON lines to the file descriptor (``messages``), and ends with status 0 when the disk is copied
and flushed. The copy step stops it with SIGTERM: it then flushes and writes down what is done. What the journal has is
not copied again.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from typing import IO

from v2v_core.copying.bandwidth import Bandwidth
from v2v_core.copying.compared import forget_compared
from v2v_core.copying.engine import CLONE, Engine, cut, piece_size
from v2v_core.copying.extents import Kind, Piece
from v2v_core.copying.hashes import HashFile
from v2v_core.copying.job import CopyFailed, Job, Stopped
from v2v_core.copying.journal import open_journal
from v2v_core.copying.messages import Cause, CopyMessage
from v2v_core.copying.plan import CopyPlan, make_plan
from v2v_core.copying.sample import compare_sample
from v2v_core.copying.sink import Sink
from v2v_core.copying.source_map import read_map
from v2v_core.copying.task import CopyPass, CopyTask
from v2v_core.copying.verify import Verifier, open_verifier
from v2v_core.errors import DestinationError, SourceChanged, SourceError, V2VError
from v2v_core.records import from_json, to_json

#: Seconds between two messages of progress, and between two warnings that something is tried again.
_PROGRESS, _WARNING = 0.2, 10.0


class Messages:
    """Writes messages to the copy step. Several threads may use it."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._done = self._total = 0
        self._told = self._warned = 0.0

    def begin(self, plan: CopyPlan) -> None:
        """Say how much is to be copied."""
        self._done, self._total = plan.earlier, plan.earlier + plan.data
        self.say(CopyMessage(done=self._done, total=self._total))

    def progress(self, count: int) -> None:
        """Count bytes of data as copied; a negative number, as not copied."""
        with self._lock:
            self._done += count
            now = time.monotonic()
            if now - self._told < _PROGRESS:
                return
            self._told = now
            message = CopyMessage(done=self._done, total=self._total)
        self.say(message)

    def retry(self, reason: str) -> None:
        """Say that something is tried again: always in the log, and to the user now and then."""
        with self._lock:
            now = time.monotonic()
            loud = now - self._warned > _WARNING
            self._warned = now if loud else self._warned
        self.say(CopyMessage(warning=reason) if loud else CopyMessage(debug=reason))

    def say(self, message: CopyMessage) -> None:
        """Write a message."""
        line = json.dumps(to_json(message))
        # the copy step may be dead already; the copy goes on until it is stopped
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._stream.write(line + "\n")
            self._stream.flush()


def copy(task: CopyTask, messages: Messages, stop: threading.Event) -> CopyMessage:
    """Copy the disk of a task, and return what was done.

    :raises CopyFailed: it could not be copied to the end. :raises V2VError: as well.
    """
    with contextlib.ExitStack() as stack:
        journal = open_journal(task)
        stack.callback(journal.close)
        sink = _open_sink(task)
        if sink is not None:
            stack.callback(sink.close)
        if journal.fresh:
            # what an earlier destination has left
            for old in (task.hashes, task.unhashed):
                old.unlink(missing_ok=True)
        hashes = None if task.hashing is False else HashFile(task.hashes, task.size)
        if hashes is not None:
            stack.callback(hashes.close)
        if hashes is None:
            task.unhashed.touch(mode=0o600)
        if journal.unsure:
            compare_sample(task, journal, hashes)
        plan = make_plan(task, read_map(task, stop), journal)
        messages.say(CopyMessage(debug=f"{plan}"))
        messages.begin(plan)
        bandwidth = Bandwidth(
            task.limits.bandwidth, warn=lambda text: messages.say(CopyMessage(warning=text)), stop=stop
        )
        stack.callback(bandwidth.close)
        sparse = task.destination.allocation != "preallocated"
        job = Job(
            task=task,
            pieces=iter(()),
            longest=piece_size(task, sink),
            skip_zeros=sparse and task.destination.zeroed and journal.fresh,
            sparse=sparse,
            hashes=hashes,
            bandwidth=bandwidth,
            on_progress=messages.progress,
            on_retry=messages.retry,
            stop=stop,
            todo=plan.data,
            shared=task.unhashed.exists(),
        )
        job.check_fence()
        if task.copy_pass is CopyPass.WHOLE:
            journal.will_overwrite(plan.overwritten())
        engine = Engine(job, journal, sink)
        stack.callback(engine.close)
        engine.open()
        verifier = _verifier(task, sink, hashes, stop, stack, engine)
        _move(task, plan, job, engine)
        if stop.is_set():
            raise Stopped
        verified = verifier is not None and _verify(verifier, job, engine, messages)
        return CopyMessage(
            finished=True,
            copied=job.copied,
            zeroed=job.zeroed,
            digest=hashes.root()
            if hashes is not None and not journal.unhashed and task.copy_pass is CopyPass.WHOLE
            else None,
            verified=verified,
        )


def _move(task: CopyTask, plan: CopyPlan, job: Job, engine: Engine) -> None:
    """Move all pieces of the plan."""
    unread = task.hashing is not True and not task.verify and task.limits.bandwidth is None
    pieces = plan.pieces(CLONE if engine.is_local and unread else job.longest)
    if engine.is_local and unread:
        pieces = cut(engine.share(pieces), job.longest)
    job.pieces = pieces
    engine.run()


def _verifier(
    task: CopyTask,
    sink: Sink | None,
    hashes: HashFile | None,
    stop: threading.Event,
    stack: contextlib.ExitStack,
    engine: Engine,
) -> Verifier | None:
    """Begin to compare what is written with its hashes, if the user wants that."""
    if not task.verify or hashes is None:
        # what an earlier process has compared may be written again now
        forget_compared(task)
        return None
    verifier = open_verifier(task, hashes, sink, stop)
    stack.callback(verifier.close)
    engine.on_flushed = verifier.written
    return verifier


def _verify(verifier: Verifier, job: Job, engine: Engine, messages: Messages) -> bool:
    """Compare the destination with the hashes; the copy of the base, only what it has written.

    Copy what differs once more, and compare it again.

    :raises CopyFailed: it still differs.
    """
    whole = job.task.copy_pass is CopyPass.WHOLE
    different = verifier.finish() if whole else verifier.settle()
    if different:
        at = different[0][0]
        messages.say(
            CopyMessage(
                warning=f"the destination does not hold what was written to it, first at byte {at} "
                f"({sum(length for _, length in different)} bytes in all); they are copied once more"
            )
        )
        # the converted disk has everything, whatever the journal says about the base
        kind = Kind.OVERLAY if whole else Kind.BASE
        job.pieces = cut((Piece(offset, length, kind) for offset, length in different), job.longest)
        job.skip_zeros = False
        engine.on_flushed = None
        engine.run()
        different = verifier.again(different)
    if different:
        at = different[0][0]
        raise CopyFailed(
            f"the destination does not hold what was written to it twice, first at byte {at}", Cause.MISMATCH, offset=at
        )
    return True


def _open_sink(task: CopyTask) -> Sink | None:
    destination = task.destination
    if destination.sink is None or destination.sink_directory is None:
        return None
    from v2v_core.discovery import Role
    from v2v_core.hookspecs import OutputSinkRequest
    from v2v_core.plugins import load_plugin

    return load_plugin(Role.OUTPUT, destination.sink).output_sink(
        OutputSinkRequest(
            directory=destination.sink_directory,
            index=task.index,
            size=task.size,
            state=json.loads(destination.sink_state),
            connections=task.limits.connections,
        )
    )


def _failed(err: BaseException) -> CopyMessage:
    """Return the message about what ended the copy."""
    if isinstance(err, CopyFailed):
        return CopyMessage(failed=err.reason, cause=err.cause, offset=err.offset, missing=err.missing, hint=err.hint)
    if isinstance(err, V2VError):
        cause = Cause.OTHER
        if isinstance(err, SourceError):
            cause = Cause.CHANGED if isinstance(err, SourceChanged) else Cause.SOURCE
        elif isinstance(err, DestinationError):
            cause = Cause.DESTINATION
        return CopyMessage(failed=err.message, hint=err.hint, cause=cause)
    if isinstance(err, OSError):
        return CopyMessage(failed=f"{err.filename or 'a file'}: {err.strerror or err}", cause=Cause.OTHER)
    return CopyMessage(failed=f"{type(err).__name__}: {err}", cause=Cause.OTHER)


def main(descriptor: int) -> int:
    """Copy the disk whose task is on stdin, and return the exit status."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    # the supervisor, which also receives it, decides
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        messages = Messages(stream)
        try:
            task = from_json(json.load(sys.stdin), CopyTask)
            messages.say(copy(task, messages, stop))
        except Exception as err:
            if not isinstance(err, CopyFailed | V2VError):
                messages.say(CopyMessage(debug=traceback.format_exc()))
            messages.say(_failed(err))
            status = 1
        else:
            status = 0
    sys.stderr.flush()
    # threads that wait for a server that does not answer must not hold up the end
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
