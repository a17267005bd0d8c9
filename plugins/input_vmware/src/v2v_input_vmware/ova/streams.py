# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams that limit what is read from an archive, whatever lengths its headers claim."""

from __future__ import annotations

import lzma
from typing import IO, Protocol

#: Bytes of memory for unpacking xz, which is 65 MiB at its highest preset.
_XZ_MEMORY = 256 * 1024 * 1024
_CHUNK = 64 * 1024


class Readable(Protocol):
    """A stream that can be read."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most this many bytes; none at the end."""


class TooLong(OSError):
    """A header claims to be longer than any header is."""

    def __init__(self) -> None:
        super().__init__("a header is longer than any header can be")


class Bounded:
    """A file that refuses single reads of more than a number of bytes."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream, self._limit = stream, limit

    def read(self, size: int = -1) -> bytes:
        """Return at most this many bytes.

        :raises TooLong: they are more than the limit.
        """
        data = self._stream.read(min(size, self._limit + 1) if size >= 0 else self._limit + 1)
        if len(data) > self._limit:
            raise TooLong
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Change the position, and return it."""
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._stream.tell()

    def seekable(self) -> bool:
        """Return True."""
        return True


class Budgeted:
    """A stream from which no more can be read than was allowed last."""

    def __init__(self, stream: Readable) -> None:
        self._stream, self._left = stream, 0

    def allow(self, size: int) -> None:
        """Allow this many bytes from the current position on."""
        self._left = size

    def read(self, size: int = -1) -> bytes:
        """Return at most this many bytes.

        :raises TooLong: the allowance is used up.
        """
        if self._left <= 0:
            raise TooLong
        data = self._stream.read(size)
        self._left -= len(data)
        return data


class Window:
    """The next bytes of a stream, limited to a number."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int = -1) -> bytes:
        """Return at most this many bytes."""
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


class Xz:
    """The content of an xz file, with a limit on memory. LZMAFile of Python takes as much as the file asks for."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self._decompressor = self._new()

    def read(self, size: int = -1) -> bytes:
        """Return at most this many bytes.

        :raises lzma.LZMAError: the file is damaged, or needs too much memory.
        :raises EOFError: the file is truncated.
        """
        while True:
            if self._decompressor.eof:
                # another stream may follow, after padding
                self._rest = (self._decompressor.unused_data or self._stream.read(_CHUNK)).lstrip(b"\0")
                if not self._rest:
                    return b""
                self._decompressor = self._new()
            fresh = b""
            if self._decompressor.needs_input:
                fresh, self._rest = self._rest or self._stream.read(_CHUNK), b""
                if not fresh:
                    raise EOFError("the compressed file is truncated")
            data = self._decompressor.decompress(fresh, size)
            if data:
                return data

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
