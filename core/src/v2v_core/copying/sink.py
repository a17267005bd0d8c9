# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination that is no NBD server: its output plugin says how to write, zero and flush, and core does the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from v2v_core.errors import DestinationError

#: Fills a whole buffer with the next bytes of the source.
Fill = Callable[[memoryview], None]

_BUFFER = 2 * 1024 * 1024


class Sink(ABC):
    """The destination of one disk. All methods may be called from several threads at the same time.

    Offsets and lengths are bytes. A method that fails raises an ``OSError`` (ENOSPC for a destination that is full) or
    a ``V2VError``. Core repeats a failed call unless the error is a ``V2VError``, which is final.
    """

    #: How many calls can run at the same time.
    connections: int = 1
    #: The longest useful write.
    longest: int = _BUFFER
    #: Whether ``read`` works.
    readable: bool = False

    @abstractmethod
    def write(self, offset: int, data: memoryview) -> None:
        """Write data."""

    @abstractmethod
    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros; give its space back if that is possible."""

    @abstractmethod
    def flush(self) -> None:
        """Make durable what was written by calls that have returned, whichever thread made them."""

    def write_from(self, offset: int, length: int, fill: Fill) -> None:
        """Write ``length`` bytes that ``fill`` reads, buffer by buffer and in order.

        A sink that can write while data arrives overrides this. If it fails, core reads and writes the range again.
        """
        buffer = memoryview(bytearray(min(_BUFFER, length)))
        for at in range(offset, offset + length, _BUFFER):
            part = buffer[: min(_BUFFER, offset + length - at)]
            fill(part)
            self.write(at, part)

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with what the destination holds; only if ``readable``."""
        raise DestinationError("this destination cannot be read back")

    @abstractmethod
    def close(self) -> None:
        """Close the connections. Nothing is called afterwards."""
