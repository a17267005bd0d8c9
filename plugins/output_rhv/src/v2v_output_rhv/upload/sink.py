# SPDX-License-Identifier: GPL-2.0-or-later
"""The destination of one disk for core's copy: ovirt-imageio's client, over several connections.

Like ovirt-imageio's own uploader, it sends data in long requests, which the server writes to the disk while they
arrive. A long request that fails is not repeated here: core reads the data again. It is then sent in small requests,
each of which is repeated when the connection breaks, and which tell what is wrong.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from v2v_core.api import DestinationError, Fill, Sink
from v2v_output_rhv.upload.address import address_file, read_address
from v2v_output_rhv.upload.connections import Connections, ReadFailed, Refused

ResultT = TypeVar("ResultT")

#: As many as ovirt-imageio's own uploader uses.
_CONNECTIONS = 4
#: Bytes of a request, measured with bench/imageio.py: longer requests are not faster, and a request that fails is sent
#: again as a whole.
_LONGEST = 64 * 1024 * 1024
#: Bytes that are read and sent at once: as many as the daemon writes at once (``buffer_size`` of its backends), see
#: ``_Reader.readinto``. Where the processors are the bottleneck, smaller buffers are faster: they fit into the caches.
_BUFFER = 8 * 1024 * 1024
_SMALL_BUFFER = 2 * 1024 * 1024
_HINT = "the events in the engine, and ovirt-imageio's daemon.log and vdsm.log on the host, say more"


class ImageioSink(Sink):
    """A disk of oVirt that is written, and read back, through ovirt-imageio."""

    longest = _LONGEST
    readable = True

    def __init__(self, connections: Connections) -> None:
        """Use connections that are started already."""
        self._server = connections
        self.connections = connections.count
        self._lock = threading.Lock()
        #: Beginning and end of each long request that failed, until its data is written.
        self._failed: set[tuple[int, int]] = set()

    def write(self, offset: int, data: memoryview) -> None:
        """Write data in one request, which is repeated on a new connection if the old one breaks."""
        _asking(lambda: self._server.write(offset, data))

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        _asking(lambda: self._server.zero(offset, length))

    def flush(self) -> None:
        """Make the server sync to its storage what was written."""
        _asking(self._server.flush)

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with what the disk holds."""
        _asking(lambda: self._server.read(offset, buffer))

    def write_from(self, offset: int, length: int, fill: Fill) -> None:
        """Write data in one long request while it is being read, or in small ones where a long one has failed.

        :raises OSError: the long request failed. :raises DestinationError: it does not help to try again.
        """
        if self._has_failed(offset, offset + length):
            super().write_from(offset, length, fill)
            self._forget(offset, offset + length)
            return
        reader = _Reader(fill)
        try:
            self._server.send(offset, length, reader)
        except ReadFailed:
            raise (reader.failure or OSError("the data cannot be read")) from None
        except Refused as err:
            if err.final:
                raise _final(err) from err
            with self._lock:
                self._failed.add((offset, offset + length))
            raise

    def close(self) -> None:
        """Close the connections."""
        self._server.stop()

    def _has_failed(self, start: int, end: int) -> bool:
        """Return whether a long request with a part of a range has failed."""
        with self._lock:
            return any(start < known_end and known_start < end for known_start, known_end in self._failed)

    def _forget(self, start: int, end: int) -> None:
        with self._lock:
            self._failed = {known for known in self._failed if not (start <= known[0] and known[1] <= end)}


class _Reader:
    """The reader of one long request. It keeps the error of ``fill``, which must reach core as it is."""

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self.failure: Exception | None = None

    def readinto(self, buffer: memoryview) -> int:
        """Fill the whole buffer.

        The server receives as much at once as a buffer holds. If all buffers are full, it writes one of them while the
        next one is being read.

        :raises ReadFailed: the data cannot be read.
        """
        try:
            self._fill(buffer)
        except Exception as err:
            self.failure = err
            raise ReadFailed(str(err)) from err
        return len(buffer)


def open_sink(directory: Path, index: int, connections: int) -> ImageioSink:
    """Connect to the disk whose address setup has left.

    :param connections: how many the user wants; 0 for as many as suit ovirt-imageio.
    :raises DestinationError: there is no address, or nothing can be connected to.
    """
    number = connections or _CONNECTIONS
    crowded = number > len(os.sched_getaffinity(0))
    try:
        address = read_address(address_file(directory, index))
    except (OSError, ValueError, TypeError) as err:
        raise DestinationError(
            f"the address that the data of disk {index} is sent to cannot be read: {err}",
            hint="run the output step again",
        ) from err
    server = address.connections(number, buffer_size=_SMALL_BUFFER if crowded else _BUFFER)
    _asking(server.start)
    return ImageioSink(server)


def _asking(request: Callable[[], ResultT]) -> ResultT:
    """Make a request that the connections have repeated as long as that could help.

    :raises DestinationError: it failed.
    """
    try:
        return request()
    except Refused as err:
        raise _final(err) from err


def _final(err: Refused) -> DestinationError:
    return DestinationError(err.strerror or str(err), hint=_HINT)
