# SPDX-License-Identifier: GPL-2.0-or-later
"""What the threads of one copy process share: the pieces still to be moved, what is written, and what went wrong."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from v2v_core.copying import fence
from v2v_core.copying.bandwidth import Bandwidth
from v2v_core.copying.extents import Piece
from v2v_core.copying.hashes import HashFile
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyTask
from v2v_core.errors import Interrupted
from v2v_core.space import means_no_room

#: Seconds of the first pause before a request is repeated, and of the longest one.
_PAUSE, _LONGEST_PAUSE = 0.5, 10.0
#: Seconds between two looks at the fence.
_LOOK = 0.5


class Stopped(Interrupted):
    """The process was asked to stop."""

    def __init__(self) -> None:
        super().__init__("the copy was stopped")


class CopyFailed(Exception):
    """The copy cannot go on.

    :param cause: which end failed. :param offset: where, in bytes; None if that is not known.
    :param missing: bytes that a full destination lacks.
    """

    def __init__(
        self,
        reason: str,
        cause: Cause,
        *,
        offset: int | None = None,
        missing: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.cause = cause
        self.offset = offset
        self.missing = missing
        self.hint = hint


def pause(failures: int) -> float:
    """Return the seconds to wait before something is tried again that has failed, by the number of earlier failures."""
    return min(_PAUSE * 2.0**failures, _LONGEST_PAUSE)


def reason_of(err: Exception) -> str:
    """Return why a request failed, in a few words."""
    return (err.strerror if isinstance(err, OSError) else None) or str(err)


def not_flushed(reason: str, number: int | None = None) -> CopyFailed:
    """Return the failure of a flush.

    :param number: the errno. A destination may notice only now that it is full.
    """
    cause = Cause.FULL if means_no_room(number) else Cause.DESTINATION
    return CopyFailed(f"the destination cannot be flushed: {reason}", cause)


@dataclass
class Job:
    """The work of one copy process. All methods may be called from several threads.

    :param longest: bytes of the longest piece of data.
    :param skip_zeros: zeros inside data need not be written: the destination has zeros there.
    :param sparse: zeros inside data are written as zeros, which take no space, and not as data.
    :param hashes: None if no hashes are taken.
    :param todo: bytes of data of all pieces.
    :param on_progress: is called with the bytes of data that were moved. :param on_retry: with a warning.
    """

    task: CopyTask
    pieces: Iterator[Piece]
    longest: int
    skip_zeros: bool
    sparse: bool
    hashes: HashFile | None
    bandwidth: Bandwidth
    on_progress: Callable[[int], None]
    on_retry: Callable[[str], None]
    stop: threading.Event
    todo: int = 0
    copied: int = 0
    zeroed: int = 0
    failure: CopyFailed | None = None
    #: Pieces whose reading has failed for good. The others are copied nevertheless.
    unreadable: list[CopyFailed] = field(default_factory=list)
    #: The file system shares some blocks of both ends: they were not read, by this process or an earlier one.
    shared: bool = False

    def __post_init__(self) -> None:
        # an iterator of pieces may call the job itself
        self._lock = threading.RLock()
        self._waiting: list[tuple[float, int, Piece, int]] = []
        self._count = itertools.count()
        self._unflushed: list[Piece] = []
        self._unflushed_bytes = 0
        self._moving = 0
        self._following: Piece | None = None
        self._looked = 0.0
        self._flush_failures = 0
        #: How often a connection to the destination was lost.
        self.losses = 0

    def next_piece(self) -> tuple[Piece, int] | None:
        """Return a piece to move and how often it has failed; None if there is none now."""
        if self.stop.is_set() or self.failure is not None:
            return None
        self.check_fence()
        with self._lock:
            if self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, piece, failures = heapq.heappop(self._waiting)
            else:
                found = self._peek()
                if found is None:
                    return None
                self._following = None
                piece, failures = found, 0
            self._moving += 1
        return piece, failures

    def over(self) -> bool:
        """Return whether no piece is left, in flight, or waiting to be tried again; or the copy is to end."""
        if self.stop.is_set() or self.failure is not None:
            return True
        with self._lock:
            return not self._moving and not self._waiting and self._peek() is None

    def _peek(self) -> Piece | None:
        if self._following is None:
            self._following = next(self.pieces, None)
        return self._following

    def moved(self, piece: Piece) -> None:
        """Take note that a piece is written and not yet flushed."""
        with self._lock:
            self._moving -= 1
            self._unflushed.append(piece)
            if piece.kind.is_data:
                self.copied += piece.length
                self._unflushed_bytes += piece.length
            else:
                self.zeroed += piece.length
        if piece.kind.is_data:
            self.on_progress(piece.length)

    def cloned(self, piece: Piece) -> None:
        """Take note that both ends share the blocks of a piece; call this while ``pieces`` is iterated over."""
        with self._lock:
            self._unflushed.append(piece)
            self.copied += piece.length
            self._unflushed_bytes += piece.length
            if not self.shared:
                # a later process must know that hashes are missing
                self.task.unhashed.touch(mode=0o600)
                self.shared = True
        self.on_progress(piece.length)

    @property
    def unflushed(self) -> int:
        """The bytes of data that are written and not yet flushed."""
        return self._unflushed_bytes

    @property
    def flying(self) -> int:
        """How many pieces are being moved."""
        with self._lock:
            return self._moving

    def left(self) -> int:
        """Return the bytes of data that are still to be moved."""
        return max(0, self.todo - self.copied)

    def flushed(self) -> None:
        """Take note that a flush has worked."""
        self._flush_failures = 0

    def flush_failed(self, failed: CopyFailed) -> None:
        """Take note that the last flush has failed. End the copy if that happens too often, or for want of space."""
        self._flush_failures += 1
        if failed.cause is Cause.FULL or self._flush_failures > self.task.limits.retries:
            self.fail(failed)
        else:
            self.on_retry(f"{failed.reason}; what may be lost is written again")
            self.stop.wait(pause(self._flush_failures - 1))

    def lost(self) -> None:
        """Take note that a connection to the destination is lost: what was not flushed is moved once more."""
        with self._lock:
            self.losses += 1
        self.write_again([])

    def put_back(self, piece: Piece) -> None:
        """Take note that a piece was not moved, for a reason that is not its own."""
        with self._lock:
            self._moving -= 1
            heapq.heappush(self._waiting, (0.0, next(self._count), piece, 0))

    def repeat(self, piece: Piece, failures: int, failed: CopyFailed) -> None:
        """Move a piece again after a pause, or give it up if it has failed too often.

        :param failures: how often it has failed before.
        """
        with self._lock:
            self._moving -= 1
            if failures < self.task.limits.retries:
                heapq.heappush(
                    self._waiting, (time.monotonic() + pause(failures), next(self._count), piece, failures + 1)
                )
                final = False
            else:
                final = True
                self.unreadable.append(failed)
        if not final:
            self.on_retry(f"{failed.reason}; it is tried again")
        elif failed.cause is not Cause.SOURCE:
            self.fail(failed)

    def fail(self, failed: CopyFailed) -> None:
        """End the copy. The first failure counts."""
        with self._lock:
            self.failure = self.failure or failed

    def take_unflushed(self) -> list[Piece]:
        """Return the pieces that are written; a flush that begins now makes them durable."""
        with self._lock:
            taken, self._unflushed = self._unflushed, []
            self._unflushed_bytes = 0
        return taken

    def write_again(self, pieces: list[Piece]) -> None:
        """Move pieces once more that a lost connection may have lost before they were flushed."""
        with self._lock:
            for piece in (*pieces, *self._unflushed):
                heapq.heappush(self._waiting, (0.0, next(self._count), piece, 0))
                if piece.kind.is_data:
                    self.copied -= piece.length
                else:
                    self.zeroed -= piece.length
            self._unflushed_bytes = 0
            lost = sum(piece.length for piece in (*pieces, *self._unflushed) if piece.kind.is_data)
            self._unflushed = []
        self.on_progress(-lost)

    def check_fence(self) -> None:
        """Check that no other process has taken the directory over.

        :raises CopyFailed: one has.
        """
        now = time.monotonic()
        # a process that was frozen finds that much time has passed
        if now - self._looked < _LOOK:
            return
        if not fence.holds(self.task.place, self.task.epoch):
            raise CopyFailed("another process has taken this conversion over", Cause.FENCED)
        self._looked = now
