# SPDX-License-Identifier: GPL-2.0-or-later
"""Verification: the destination is read back and compared with the hashes that were taken while it was written.

What is written and flushed is compared at once, while the copy goes on: where both ends are equally fast, reading back
afterwards would take as long as the copy itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue

from v2v_core.copying.bandwidth import Bandwidth, of_reading_back
from v2v_core.copying.compared import Compared, open_compared
from v2v_core.copying.extents import Ranges
from v2v_core.copying.hashes import BLOCK, GROUP, HashFile
from v2v_core.copying.read_back import REQUEST, FileReadBack, Range, ReadBack, SinkReadBack
from v2v_core.copying.sink import Sink
from v2v_core.copying.task import CopyTask
from v2v_core.errors import DestinationError

#: Bytes of a group of blocks.
_GROUP = BLOCK * GROUP
#: What a hole reads as.
_ZEROS = memoryview(bytes(REQUEST))


def open_read_back(task: CopyTask, sink: Sink | None, stop: threading.Event) -> ReadBack:
    """Open the destination of a task for reading.

    :param sink: where the output writes the disk itself.
    :raises DestinationError: it cannot be read.
    """
    if sink is not None:
        if not sink.readable:
            raise DestinationError(
                "the destination cannot be read back", hint="leave out --verify, and compare later with v2v verify"
            )
        return SinkReadBack(sink, task.limits, stop)
    if task.destination.file is not None:
        return FileReadBack(task.destination.file, stop)
    from v2v_core.copying.read_back_nbd import NbdReadBack

    return NbdReadBack(task.destination.uri, task.limits, stop)


def open_verifier(task: CopyTask, hashes: HashFile, sink: Sink | None, stop: threading.Event) -> Verifier:
    """Return what compares the destination of a task. The journal of the task must be open.

    :raises DestinationError: the destination cannot be read. :raises OSError: a file in the place of the task cannot.
    """
    limit = task.limits.bandwidth
    bandwidth = Bandwidth(None if limit is None else of_reading_back(limit), stop=stop)
    return Verifier(open_read_back(task, sink, stop), hashes, task.size, open_compared(task), bandwidth)


class Verifier:
    """Compares a disk with its hashes, of which each block without one must read as zeros.

    Only one thread may call its methods. A copy process uses it so::

        verifier = open_verifier(task, hashes, sink, stop)     # the journal is open
        verifier.written(data, zeroed)                         # after each flush, before Journal.wrote()
        wrong = verifier.finish()                              # of the base pass: settle()
        wrong = verifier.again(wrong)                          # when these ranges are copied once more, and flushed

    Whatever needs the destination raises ``DestinationError`` if it cannot be read, and ``Stopped`` if the
    process was asked to stop.

    :param compared: what earlier processes have compared. :param bandwidth: limits what is read.
    """

    def __init__(
        self,
        read_back: ReadBack,
        hashes: HashFile,
        size: int,
        compared: Compared | None = None,
        bandwidth: Bandwidth | None = None,
    ) -> None:
        self._read_back = read_back
        self._hashes = hashes
        self._size = size
        self._lock = threading.Lock()
        self._compared = compared or Compared()
        self._bandwidth = bandwidth or Bandwidth(None)
        self._different = Ranges()
        self._written: SimpleQueue[list[Range] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._closing = threading.Event()

    def written(self, data: Iterable[Range], zeroed: Iterable[Range] = ()) -> None:
        """Compare ranges that are written and flushed, while the copy goes on.

        :param zeroed: ranges that were zeroed. They are compared at the end, as most of them need not be read.
        """
        data = list(data)
        with self._lock:
            self._compared.remove([*data, *zeroed])
        whole = [inner for offset, length in data if (inner := self._inner(offset, length))[1] > 0]
        if not whole:
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="verify", daemon=True)
            self._thread.start()
        self._written.put(whole)

    def settle(self) -> list[Range]:
        """Compare all that was passed to ``written``, and return what differs: offset and length of whole blocks."""
        self._settle()
        return list(self._different)

    def finish(self, progress: Callable[[int], None] | None = None) -> list[Range]:
        """Compare all of the disk that was not compared yet, and return what differs.

        :param progress: is called with the number of bytes that were read since the last call.
        """
        self._settle()
        self._compare(self._rest(), progress)
        return list(self._different)

    def again(self, ranges: Iterable[Range]) -> list[Range]:
        """Compare ranges that were copied once more, and return those that still differ."""
        self._settle()
        self._different = Ranges()
        self._compare(cut(blocks_of(extent, self._size) for extent in ranges))
        return list(self._different)

    def close(self) -> None:
        """Stop to compare, and close the destination."""
        self._closing.set()
        self._settle(raising=False)
        self._read_back.close()
        self._compared.close()
        self._bandwidth.close()

    def _follow(self) -> None:
        try:
            while (ranges := self._written.get()) is not None:
                if self._closing.is_set():
                    continue
                self._compare(cut(ranges))
                with self._lock:
                    # a range may be here for the second time, and may have been right the first time
                    self._compared.remove(
                        part for offset, length in ranges for part in self._different.common(offset, length)
                    )
                    self._compared.add(
                        part for offset, length in ranges for part in self._different.missing(offset, length)
                    )
        except BaseException as err:
            self._failure = err

    def _settle(self, *, raising: bool = True) -> None:
        """Wait until all that was written so far is compared."""
        if self._thread is not None:
            self._written.put(None)
            self._thread.join()
            self._thread = None
        if self._failure is not None and raising:
            raise self._failure

    def _compare(self, pieces: Iterator[Range], progress: Callable[[int], None] | None = None) -> None:
        def check(offset: int, data: memoryview) -> None:
            found = self._hashes.matches(offset, data)
            with self._lock:
                # the last look counts
                self._different.remove(offset, len(data))
                for at in found:
                    self._add_different(at)
                if progress is not None:
                    progress(len(data))

        self._read_back.read(self._held_back(pieces), check)

    def _held_back(self, pieces: Iterator[Range]) -> Iterator[Range]:
        for piece in pieces:
            self._bandwidth.wait_for(piece[1])
            yield piece

    def _rest(self) -> Iterator[Range]:
        """Yield what was not compared yet and may hold data. Compare the holes between without reading them."""
        taken = Ranges((number * _GROUP, _GROUP) for number, _digest in self._hashes.groups())
        at = 0
        for extent in self._read_back.data(self._size):
            offset, length = blocks_of(extent, self._size)
            begin, end = max(offset, at), offset + length
            self._compare_hole(at, begin, taken)
            if end > begin:
                yield from cut(self._compared.ranges.missing(begin, end - begin))
                at = end
        self._compare_hole(at, self._size, taken)

    def _compare_hole(self, begin: int, end: int, taken: Ranges) -> None:
        """Compare what reads as zeros with the groups of blocks of which hashes were taken."""
        if end > begin:
            with self._lock:
                for at, length in cut(taken.common(begin, end - begin)):
                    for block in self._hashes.matches(at, _ZEROS[:length]):
                        self._add_different(block)

    def _add_different(self, at: int) -> None:
        self._different.add(at, min(BLOCK, self._size - at))

    def _inner(self, offset: int, length: int) -> Range:
        """Return the whole blocks of a range. The rest of the others may not be written yet."""
        begin, end = -(-offset // BLOCK) * BLOCK, offset + length
        if end < self._size:
            end = end // BLOCK * BLOCK
        return begin, end - begin


def blocks_of(extent: Range, size: int) -> Range:
    """Return a range with the rest of its blocks."""
    offset, length = extent
    begin, end = offset // BLOCK * BLOCK, -(-(offset + length) // BLOCK) * BLOCK
    return begin, min(end, size) - begin


def cut(ranges: Iterable[Range]) -> Iterator[Range]:
    """Cut ranges into pieces that one request can read."""
    for offset, length in ranges:
        for at in range(offset, offset + length, REQUEST):
            yield at, min(REQUEST, offset + length - at)


def verify(
    task: CopyTask,
    hashes: HashFile,
    *,
    sink: Sink | None = None,
    stop: threading.Event | None = None,
) -> list[Range]:
    """Compare a destination that is written and flushed with its hashes; return what differs.

    :raises DestinationError: it cannot be read.
    """
    read_back = open_read_back(task, sink, stop or threading.Event())
    try:
        if isinstance(read_back, FileReadBack):
            read_back.flush()
        return Verifier(read_back, hashes, task.size).finish()
    finally:
        read_back.close()
