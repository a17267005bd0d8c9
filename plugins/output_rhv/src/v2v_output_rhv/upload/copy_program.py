# SPDX-License-Identifier: GPL-2.0-or-later
"""The program that copies a disk to ovirt-imageio: it sends the data of the source, and zeroes the rest there.

Like ovirt-imageio's own uploader, it sends data in long requests, which the server writes to the disk while they
arrive. If a long request fails, its data is sent again in small requests, each of which is repeated when the connection
breaks. The program is stopped by killing it. If it fails, the last line that it writes to stderr says why.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from v2v_output_rhv.upload.address import read_address
from v2v_output_rhv.upload.connections import Connections, ReadFailed, Refused
from v2v_output_rhv.upload.source import Extent, Source

#: Bytes, measured with bench/imageio.py: longer requests are not faster, and a request that fails is sent again as a
#: whole.
_REQUEST = 64 * 1024 * 1024
_SMALL_REQUEST = 2 * 1024 * 1024
#: Bytes that are read and sent at once: as many as the daemon writes at once (``buffer_size`` of its backends), see
#: ``_Stretch.readinto``. Where the processors are the bottleneck, smaller buffers are faster: they fit into the caches.
_BUFFER = 8 * 1024 * 1024
_SMALL_BUFFER = 2 * 1024 * 1024
#: Bytes that are read to find out whether an extent begins with zeros, as on a disk whose server reports no holes.
_PROBE = 256 * 1024


class Progress:
    """Writes how much of the disk is done, each time another thousandth is done."""

    def __init__(self, descriptor: int, total: int) -> None:
        self._descriptor, self._total = descriptor, total
        self._done = self._reported = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """Count bytes as done, or, with a negative number, as not done."""
        with self._lock:
            self._done += count
            if self._done - self._reported >= max(1, self._total // 1000):
                self._reported = self._done
                os.write(self._descriptor, f"{self._done}/{self._total}\n".encode())


@dataclass(eq=False)
class _Stretch:
    """The reader of one long request: first what was read before (``head``), then the rest from the source."""

    source: Source
    progress: Progress
    head: memoryview
    offset: int
    given: int = 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill the whole buffer.

        The server receives as much at once as a buffer holds. If all buffers are full, it writes one of them while the
        next one is being read.
        """
        count = len(buffer)
        known = self.head[self.given : self.given + count]
        buffer[: len(known)] = known
        if len(known) < count:
            self.source.read(self.offset + self.given + len(known), buffer[len(known) :])
        self.given += count
        self.progress.add(count)
        return count


@dataclass(frozen=True)
class Copy:
    """A disk that several threads copy, each taking one piece after the other.

    :param zeroed: the destination reads as zeros already, so zeros are not written.
    """

    uri: str
    destination: Connections
    progress: Progress
    zeroed: bool

    def run(self, pieces: Iterator[Extent], failed: threading.Event) -> None:
        """Copy pieces until there are no more, over a separate connection to the source.

        :raises ReadFailed: the source cannot be read. :raises Refused: the destination cannot be written.
        """
        with Source.connect(self.uri) as source:
            probe = memoryview(bytearray(_PROBE))
            for piece in pieces:
                if failed.is_set():
                    return
                if piece.zero:
                    self._zero(piece.offset, piece.length)
                else:
                    self._data(source, piece.offset, piece.offset + piece.length, probe)

    def _data(self, source: Source, start: int, end: int, probe: memoryview) -> None:
        """Copy an extent of data. Zeros at its beginning are not sent as data."""
        at = start
        while at < end:
            head = probe[: min(_PROBE, end - at)]
            source.read(at, head)
            if not source.is_zero(head):
                break
            at += len(head)
        if at > start:
            self._zero(start, at - start)
        if at < end:
            stretch = _Stretch(source, self.progress, head, at)
            try:
                self.destination.send(at, end - at, stretch)
            except Refused:
                self.progress.add(-stretch.given)
                self._in_small_requests(source, at, end)

    def _in_small_requests(self, source: Source, start: int, end: int) -> None:
        buffer = memoryview(bytearray(_SMALL_REQUEST))
        for at in range(start, end, _SMALL_REQUEST):
            data = buffer[: min(_SMALL_REQUEST, end - at)]
            source.read(at, data)
            self.destination.write(at, data)
            self.progress.add(len(data))

    def _zero(self, offset: int, length: int) -> None:
        if not self.zeroed:
            self.destination.zero(offset, length)
        self.progress.add(length)


def copy(uri: str, destination: Connections, *, progress: int, zeroed: bool) -> None:
    """Copy a disk and flush it.

    :param progress: a file descriptor.
    :raises ReadFailed: the source cannot be read. :raises Refused: the destination cannot be written.
    """
    destination.start()
    failed = threading.Event()
    with Source.connect(uri, extents=True) as source:
        work = Copy(uri, destination, Progress(progress, source.size), zeroed)
        pieces = _Shared(source.extents(_REQUEST))
        with ThreadPoolExecutor(max_workers=destination.count) as pool:
            futures = [pool.submit(work.run, pieces, failed) for _ in range(destination.count)]
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed.set()
            for future in done:
                if (err := future.exception()) is not None:
                    # do not wait for threads that may be trying to connect again
                    _end(err)
    destination.flush()
    destination.stop()


class _Shared(Iterator[Extent]):
    """An iterator that several threads can share."""

    def __init__(self, extents: Iterator[Extent]) -> None:
        self._extents = extents
        self._lock = threading.Lock()

    def __next__(self) -> Extent:
        with self._lock:
            return next(self._extents)


def _end(err: BaseException) -> None:
    """Write why the copy failed, and exit at once, whatever other threads are doing."""
    if isinstance(err, Refused):
        reason = err.strerror
    elif isinstance(err, ReadFailed):
        reason = str(err)
    else:
        reason = f"{type(err).__name__}: {err}"
    sys.stderr.write(f"{reason}\n")
    sys.stderr.flush()
    os._exit(1)


def main() -> None:
    """Copy a disk."""
    parser = argparse.ArgumentParser(prog="copy_program")
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--progress", type=int, required=True, metavar="FD")
    parser.add_argument("--destination-is-zero", action="store_true")
    parser.add_argument("source", metavar="NBD-URI")
    parser.add_argument("address", type=Path, metavar="FILE")
    chosen = parser.parse_args()
    # there is nothing to clean up, and the supervisor, which also receives SIGINT, reports it
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        crowded = chosen.connections > len(os.sched_getaffinity(0))
        buffer_size = _SMALL_BUFFER if crowded else _BUFFER
        destination = read_address(chosen.address).connections(chosen.connections, buffer_size=buffer_size)
        copy(chosen.source, destination, progress=chosen.progress, zeroed=chosen.destination_is_zero)
    except Exception as err:
        _end(err)


if __name__ == "__main__":
    main()
