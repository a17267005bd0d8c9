# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the source of a copy through NBD, with libnbd: its extents, and its data into given buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from v2v_output_rhv.upload.connections import ReadFailed

#: Bytes; extents are requested for so much at once. Lengths in NBD have 32 bits, and some servers examine each block.
_ASK = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Extent:
    """A part of a disk, in bytes. If ``zero``, it is known to read as zeros."""

    offset: int
    length: int
    zero: bool


class Source:
    """A connection to the source, for one thread."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.size = int(handle.get_size())

    @classmethod
    @contextlib.contextmanager
    def connect(cls, uri: str, *, extents: bool = False) -> Iterator[Source]:
        """Connect to the source, and disconnect at the end of the ``with`` block.

        :param extents: ``extents`` will be called. Without it, the server can send simpler replies.
        :raises ReadFailed: the connection fails.
        """
        import nbd

        handle = nbd.NBD()
        # libnbd need not clear a buffer first: its content is not used if reading fails
        handle.set_pread_initialize(False)
        try:
            if extents:
                handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
            else:
                handle.set_request_structured_replies(False)
            handle.connect_uri(uri)
        except nbd.Error as err:
            raise ReadFailed(f"the source cannot be connected to: {err.string}") from err
        try:
            yield cls(handle)
        finally:
            with contextlib.suppress(nbd.Error):
                handle.shutdown()

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer with the data at an offset.

        :raises ReadFailed: the source cannot be read.
        """
        import nbd

        try:
            cookie = self._handle.aio_pread(nbd.Buffer.from_buffer(buffer), offset)
            while not self._handle.aio_command_completed(cookie):
                self._handle.poll(-1)
        except nbd.Error as err:
            raise ReadFailed(f"the source cannot be read at {offset}: {err.string}") from err

    def is_zero(self, buffer: memoryview) -> bool:
        """Check whether a buffer contains only zeros."""
        import nbd

        return bool(nbd.Buffer.from_buffer(buffer).is_zero())

    def extents(self, longest: int) -> Iterator[Extent]:
        """Yield the extents of the disk in order, with data cut into pieces of at most ``longest`` bytes.

        Everything is data if the connection was made without ``extents``, or if the server does not report extents.

        :raises ReadFailed: the extents cannot be listed.
        """
        at = 0
        for length, zero in self._merged():
            step = length if zero else longest
            for start in range(at, at + length, step):
                yield Extent(start, min(step, at + length - start), zero)
            at += length

    def _merged(self) -> Iterator[tuple[int, bool]]:
        """Yield lengths, each with whether it reads as zeros. Neighbours of the same kind are merged."""
        length, zero = 0, False
        for more, kind in self._reported():
            if kind != zero and length:
                yield length, zero
                length = 0
            length, zero = length + more, kind
        if length:
            yield length, zero

    def _reported(self) -> Iterator[tuple[int, bool]]:
        import nbd

        if not self._handle.can_meta_context(nbd.CONTEXT_BASE_ALLOCATION):
            yield self.size, False
            return
        at = 0
        while at < self.size:
            entries: list[int] = []

            def take(_context: str, _offset: int, words: list[int], _error: Any, entries: list[int] = entries) -> None:
                entries.extend(words)

            try:
                self._handle.block_status(min(_ASK, self.size - at), at, take)
            except nbd.Error as err:
                raise ReadFailed(f"the extents of the source cannot be listed at {at}: {err.string}") from err
            for length, flags in zip(entries[::2], entries[1::2], strict=True):
                # the last extent may be longer than the request
                inside = min(length, self.size - at)
                yield inside, bool(flags & nbd.STATE_ZERO)
                at += inside
