# SPDX-License-Identifier: GPL-2.0-or-later
"""Chooses how the pieces of a disk are moved, by what its ends are, and moves them; writes down what is flushed.

* Both ends are local files: by reference where the file system shares blocks (``share``). Where it does not, the pieces
  are moved like all others: copy_file_range(2) would read less far ahead, and takes longer for what is not in memory.
* The destination is a sink: threads that call it (``sink_mover``).
* Anything else: connections with many requests in flight (``mover``), several where both servers allow that.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from v2v_core.copying.extents import Kind, Piece, Ranges
from v2v_core.copying.file_end import FileEnd, Storing
from v2v_core.copying.hashes import BLOCK
from v2v_core.copying.job import CopyFailed, Job, not_flushed
from v2v_core.copying.journal import Journal
from v2v_core.copying.messages import Cause
from v2v_core.copying.mover import Mover
from v2v_core.copying.nbd_end import Lost, NbdEnd
from v2v_core.copying.sink import Sink
from v2v_core.copying.sink_mover import SinkMover
from v2v_core.copying.task import CopyTask
from v2v_core.errors import V2VError
from v2v_core.space import free_space, is_no_room

#: Bytes of a piece of data for a local image, and for an NBD server that does not prefer another size (bench/copying.py).
#: The memory of longer requests costs qemu-nbd more time than shorter ones, and the time of shorter ones goes to Python.
_PIECE_OF_FILE = 1024 * 1024
_PIECE = 512 * 1024
_LONGEST_PIECE = 32 * 1024 * 1024
#: Bytes that the file system shares at once.
CLONE = 64 * 1024 * 1024
#: There is a checkpoint after so many seconds, or as soon as so many bytes are written. The storage is kept busy that
#: way: one flush at the end would take as long as all of them, and the copy would wait for it.
_CHECKPOINT = 2.0
_CHECKPOINT_BYTES = 128 * 1024 * 1024
#: Bytes after which the kernel is asked to store what the server of a local image has written.
_STORE_BYTES = 32 * 1024 * 1024
#: Seconds that requests in flight get when the copy is to end.
_GRACE = 5.0
#: Threads with a connection each to servers that allow several.
_THREADS = 2


@dataclass
class Engine:
    """The ends of a copy, opened as they are used.

    :param sink: the destination, if its output writes it.
    :param on_flushed: is called with the ranges of data that are flushed, and with those that were zeroed, before the
        journal has them.
    """

    job: Job
    journal: Journal
    sink: Sink | None = None
    on_flushed: Callable[[Ranges, Ranges], None] | None = None
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _source_file: FileEnd | None = None
    _file: FileEnd | None = None
    _storing: Storing | None = None
    _movers: list[Mover] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def open(self) -> None:
        """Open the local files.

        :raises CopyFailed: one cannot be opened.
        """
        task = self.job.task
        if task.source.file is not None and task.source.base is not None:
            with failing_as(Cause.SOURCE):
                self._source_file = FileEnd(task.source.file, writable=False)
        if task.destination.file is not None and self.sink is None:
            with failing_as(Cause.DESTINATION):
                self._file = FileEnd(task.destination.file, writable=True)
        if self._file is None and self.sink is None:
            self._storing = Storing(task.destination.written)
            self._stack.callback(self._storing.close)
        for opened in (self._source_file, self._file):
            if opened is not None:
                self._stack.callback(opened.close)

    def share(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        """Let the file system share the blocks of what the base has; yield the pieces that are left."""
        source, destination = self._source_file, self._file
        possible = source is not None and destination is not None
        for piece in pieces:
            if possible and source is not None and destination is not None and piece.kind is Kind.BASE:
                self.job.check_fence()
                with failing_as(Cause.DESTINATION, offset=piece.offset):
                    done = destination.clone(source, piece.offset, piece.length)
                if done:
                    self.job.cloned(piece)
                    continue
                # the file system is not asked again and again, but a piece at an odd offset says nothing about others
                possible = self.job.copied > 0
            yield piece

    @property
    def is_local(self) -> bool:
        """Whether both ends are local files."""
        return self._source_file is not None and self._file is not None

    def run(self) -> None:
        """Move all pieces of the job, flush them and write them down.

        :raises CopyFailed: something could not be moved. What was moved is flushed and written down.
        """
        self._start()
        try:
            while True:
                while not self.job.over():
                    self._wait(_CHECKPOINT)
                    self._checkpoint()
                self._wait_for_flying()
                # what a lost connection may have lost before the last flush is moved once more
                if self._checkpoint(final=True) and self.job.over():
                    break
        except CopyFailed as err:
            # the other threads must not go on
            self.job.fail(err)
        finally:
            for mover in self._movers:
                mover.leave()
            for thread in self._threads:
                thread.join(_GRACE)
        if self.job.failure is not None:
            raise self._with_missing(self.job.failure)
        if self.job.unreadable:
            raise self.job.unreadable[0]

    def close(self) -> None:
        """Close the ends."""
        self._stack.close()

    def _start(self) -> None:
        self._threads, self._movers = [], []
        movers: Sequence[Mover | SinkMover] = self._sink_threads() if self.sink is not None else self._connections()
        for number, mover in enumerate(movers):
            thread = threading.Thread(target=mover.run, name=f"mover-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _sink_threads(self) -> list[SinkMover]:
        sink = self.sink
        if sink is None:
            return []
        # each has a connection to the source, too, which may not want several
        count = min(sink.connections, self.job.task.source.connections or sink.connections)
        return [SinkMover(self.job, self._base(), self._now(), sink) for _ in range(count)]

    def _connections(self) -> list[Mover]:
        count = self._count()
        self._movers = [Mover(self.job, self._base(), self._now(), self._destination()) for _ in range(count)]
        return self._movers

    def _count(self) -> int:
        """Return how many connections to each server are used."""
        task = self.job.task
        wanted = task.limits.connections or min(_THREADS, len(os.sched_getaffinity(0)))
        if task.source.connections:
            wanted = min(wanted, task.source.connections)
        if wanted == 1:
            return 1
        ends = [end for end in (self._base(), self._now(), self._destination()) if isinstance(end, NbdEnd)]
        try:
            return wanted if all(end.several for end in ends) else 1
        except Lost:
            # a mover tries again, and says what is wrong
            return 1
        finally:
            for end in ends:
                end.close()

    def _base(self) -> NbdEnd | FileEnd:
        task = self.job.task
        if self._source_file is not None:
            return self._source_file
        return NbdEnd(task.source.base or task.source.uri, Cause.SOURCE, task.limits)

    def _now(self) -> NbdEnd:
        return NbdEnd(self.job.task.source.uri, Cause.SOURCE, self.job.task.limits)

    def _destination(self) -> NbdEnd | FileEnd:
        if self._file is not None:
            return self._file
        return NbdEnd(self.job.task.destination.uri, Cause.DESTINATION, self.job.task.limits)

    def _wait(self, seconds: float) -> None:
        end, stored = time.monotonic() + seconds, 0
        while time.monotonic() < end and (unflushed := self.job.unflushed) < _CHECKPOINT_BYTES and not self.job.over():
            time.sleep(0.02)
            if self._storing is not None and unflushed - stored > _STORE_BYTES:
                self._storing.go_on()
                stored = unflushed

    def _wait_for_flying(self) -> None:
        end = time.monotonic() + _GRACE
        while self.job.flying and time.monotonic() < end and any(thread.is_alive() for thread in self._threads):
            time.sleep(0.01)

    def _checkpoint(self, *, final: bool = False) -> bool:
        """Flush what is written, and write it down; return whether that worked."""
        job = self.job
        losses = job.losses
        pieces = job.take_unflushed()
        if not pieces and not final:
            return True
        failed = self._flush()
        if failed is None and job.losses != losses:
            # another server than the one that took the pieces may have been flushed
            failed = not_flushed("the connection to it was lost meanwhile")
        if failed is not None:
            job.write_again(pieces)
            if job.failure is not None or job.stop.is_set():
                # there is no other attempt
                return True
            job.flush_failed(failed)
            return False
        job.flushed()
        job.check_fence()
        if job.hashes is not None:
            job.hashes.flush()
        base, overlay = Ranges(), Ranges()
        for piece in pieces:
            (base if piece.kind.of_the_base else overlay).add(piece.offset, piece.length)
        if self.on_flushed is not None:
            data, zeroed = Ranges(), Ranges()
            for piece in pieces:
                (data if piece.kind.is_data else zeroed).add(piece.offset, piece.length)
            self.on_flushed(data, zeroed)
        self.journal.wrote(base, overlay, hashed=job.hashes is not None and not job.shared)
        return True

    def _flush(self) -> CopyFailed | None:
        """Flush the destination, and return why that failed, or None."""
        try:
            if self.sink is not None:
                self.sink.flush()
            elif self._file is not None:
                self._file.flush()
            else:
                return self._movers[0].flush()
        except OSError as err:
            return not_flushed(err.strerror or str(err), err.errno)
        except V2VError as err:
            return not_flushed(err.message)
        return None

    def _with_missing(self, failure: CopyFailed) -> CopyFailed:
        """Return a failure, with the bytes that a full destination lacks if that is known."""
        file = self.job.task.destination.file
        if failure.cause is Cause.FULL:
            free = free_space(file.parent) if file is not None else None
            failure.missing = max(0, self.job.left() - (free or 0))
        return failure


def cut(pieces: Iterator[Piece], longest: int) -> Iterator[Piece]:
    """Yield pieces with data cut at multiples of a length."""
    for piece in pieces:
        at = piece.offset
        while piece.kind.is_data and at < piece.end:
            end = min(piece.end, at - at % longest + longest)
            yield Piece(at, end - at, piece.kind)
            at = end
        if not piece.kind.is_data:
            yield piece


def piece_size(task: CopyTask, sink: Sink | None) -> int:
    """Return the bytes of the longest piece of data, a multiple of the blocks that are hashed."""
    if sink is not None:
        wanted = sink.longest
    elif task.destination.file is not None:
        wanted = _PIECE_OF_FILE
    else:
        wanted = max(_PIECE, min(task.destination.request_size or 0, _LONGEST_PIECE))
    return max(BLOCK, wanted // BLOCK * BLOCK)


@contextlib.contextmanager
def failing_as(cause: Cause, offset: int | None = None) -> Iterator[None]:
    """Turn an error of a local file into a failure of the copy."""
    try:
        yield
    except OSError as err:
        full = cause is Cause.DESTINATION and is_no_room(err)
        where = f" {err.filename}" if err.filename else ""
        raise CopyFailed(
            f"the {cause.value}{where} cannot be used: {err.strerror or err}",
            Cause.FULL if full else cause,
            offset=offset,
        ) from err
