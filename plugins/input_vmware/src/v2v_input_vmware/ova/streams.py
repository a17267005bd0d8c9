# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams between an archive and who reads it, so that no length that the archive states is believed."""

from __future__ import annotations

import lzma
from typing import IO, Protocol

#: Bytes of memory for unpacking xz, which is 65 MiB at its highest preset.
_XZ_MEMORY = 256 * 1024 * 1024
_CHUNK = 64 * 1024


class Readable(Protocol):
    """What can be read."""

    def read(self, size: int = -1, /) -> bytes:
        """Give at most so many bytes, none at the end."""


class TooLong(OSError):
    """A header states a length that no header has."""

    def __init__(self) -> None:
        super().__init__("a header is longer than any header can be")


class Bounded:
    """A file in which no single read is longer than so many bytes."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        """Read.

        :raises TooLong: there is more, and it is asked for.
        """
        data = self._stream.read(min(size, self._limit + 1) if size >= 0 else self._limit + 1)
        if len(data) > self._limit:
            raise TooLong
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go somewhere."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Tell where it is."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """Tell that it is."""
        return True


class Budgeted:
    """A stream of which no more is read than was allowed last."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._left = stream, 0

    def allow(self, size: int) -> None:
        """Allow so many bytes from here on."""
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """Read.

        :raises TooLong: what was allowed is used up.
        """
        if self._left <= 0:
            raise TooLong
        data = self._stream.read(size)
        self._left -= len(data)
        return data


class Window:
    """The next so many bytes of a stream."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int = -1) -> bytes:
        """Read."""
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


class Xz:
    """What an xz file holds. Python's own LZMAFile takes as much memory as the file says that it needs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self._decompressor = self._new()

    def read(self, size: int = -1) -> bytes:
        """Read.

        :raises lzma.LZMAError: it is damaged, or wants too much memory.
        :raises EOFError: it is cut short.
        """
        while True:
            if self._decompressor.eof:
                # Another stream may follow, after padding.
                self._rest = (self._decompressor.unused_data or self._stream.read(_CHUNK)).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._decompressor = self._new()
            fresh = b""
            if self._decompressor.needs_input:
                fresh, self._rest = self._rest or self._stream.read(_CHUNK), b""
                if not fresh:
                    raise EOFError("the compressed file ends before its end")
            data = self._decompressor.decompress(fresh, size)
            if data:
                return data

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
