# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads a destination back through its own way: its local file, its sink, or its NBD server (``read_back_nbd``).

Each way reads pieces with several requests in flight, and says which ranges it knows to be zeros without reading them.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from v2v_core.copying.job import Stopped, pause, reason_of
from v2v_core.copying.sink import Sink
from v2v_core.copying.task import CopyLimits
from v2v_core.errors import DestinationError, V2VError

#: Offset and length of a range.
Range = tuple[int, int]
#: Is called with what was read at an offset, from several threads.
Check = Callable[[int, memoryview], None]

#: Bytes of a request.
REQUEST = 2 * 1024 * 1024
#: Requests in flight at once.
THREADS = 4


class ReadBack(ABC):
    """A destination that is read."""

    @abstractmethod
    def data(self, size: int) -> Iterator[Range]:
        """Yield the ranges that may hold data, in order. What lies between them reads as zeros."""

    @abstractmethod
    def read(self, pieces: Iterator[Range], check: Check) -> None:
        """Read pieces of at most ``REQUEST`` bytes, in any order.

        :raises DestinationError: a piece cannot be read. :raises Stopped: the process was asked to stop.
        """

    @abstractmethod
    def close(self) -> None:
        """Close what is open."""


class _Blocking(ReadBack):
    """A destination that is read by one call for each piece, from several threads."""

    def __init__(self, threads: int, stop: threading.Event) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._threads = threads
        self._stop = stop

    @abstractmethod
    def _fill(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer."""

    def read(self, pieces: Iterator[Range], check: Check) -> None:
        lock, failed = threading.Lock(), threading.Event()

        def work() -> None:
            buffer = memoryview(bytearray(REQUEST))
            try:
                while not failed.is_set():
                    if self._stop.is_set():
                        raise Stopped
                    with lock:
                        piece = next(pieces, None)
                    if piece is None:
                        return
                    offset, length = piece
                    self._fill(offset, buffer[:length])
                    check(offset, buffer[:length])
            except BaseException:
                failed.set()
                raise

        works = [self._pool.submit(work) for _ in range(self._threads)]
        errors = [error for one in works if (error := one.exception()) is not None]
        if errors:
            raise errors[0]

    def close(self) -> None:
        self._pool.shutdown()


class FileReadBack(_Blocking):
    """A local raw image or a block device, read from the storage and not from the memory of this host."""

    def __init__(self, path: Path, stop: threading.Event) -> None:
        super().__init__(THREADS, stop)
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as err:
            raise unreadable(path.name, 0, err) from err
        self._path = path

    def data(self, size: int) -> Iterator[Range]:
        about = os.fstat(self._descriptor)
        if not stat.S_ISREG(about.st_mode):
            yield 0, size
            return
        if about.st_size < size:
            raise DestinationError(f"{self._path} has {about.st_size} bytes, and the disk has {size}")
        at = 0
        while at < size:
            try:
                begin = os.lseek(self._descriptor, at, os.SEEK_DATA)
                end = os.lseek(self._descriptor, begin, os.SEEK_HOLE)
            except OSError as err:
                if err.errno != errno.ENXIO:
                    raise unreadable(str(self._path), at, err) from err
                # no data follows
                return
            yield begin, min(end, size) - begin
            at = end

    def _fill(self, offset: int, buffer: memoryview) -> None:
        try:
            # only what is flushed leaves the memory
            os.posix_fadvise(self._descriptor, offset, len(buffer), os.POSIX_FADV_DONTNEED)
            done = 0
            while done < len(buffer):
                count = os.preadv(self._descriptor, [buffer[done:]], offset + done)
                if count == 0:
                    raise DestinationError(f"{self._path} ends at {offset + done}, inside the disk")
                done += count
        except OSError as err:
            raise unreadable(str(self._path), offset, err) from err

    def flush(self) -> None:
        """Write to the storage what is still only in the memory of this host."""
        try:
            os.fsync(self._descriptor)
        except OSError as err:
            raise unreadable(str(self._path), 0, err) from err

    def close(self) -> None:
        super().close()
        os.close(self._descriptor)


class SinkReadBack(_Blocking):
    """A destination that its output plugin reads."""

    def __init__(self, sink: Sink, limits: CopyLimits, stop: threading.Event) -> None:
        super().__init__(max(1, min(THREADS, sink.connections)), stop)
        self._sink = sink
        self._retries = limits.retries

    def data(self, size: int) -> Iterator[Range]:
        yield 0, size

    def _fill(self, offset: int, buffer: memoryview) -> None:
        for attempt in range(self._retries + 1):
            try:
                self._sink.read(offset, buffer)
                return
            except V2VError:
                raise
            except OSError as err:
                if attempt == self._retries:
                    raise unreadable("the destination", offset, err) from err
                if self._stop.wait(pause(attempt)):
                    raise Stopped from None


def unreadable(what: str, offset: int, err: Exception) -> DestinationError:
    """Return the error for what cannot be read at an offset."""
    return DestinationError(f"{what} cannot be read back at offset {offset}: {reason_of(err)}")
