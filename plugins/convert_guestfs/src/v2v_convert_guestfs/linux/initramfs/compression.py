# SPDX-License-Identifier: GPL-2.0-or-later
"""Compress and expand data in the formats that the kernel can decompress.

Uses Python's standard library, and programs of the host for formats that it lacks.
"""

from __future__ import annotations

import bz2
import lzma
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO, BinaryIO, Protocol

from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError

_CHUNK = 1024 * 1024
#: Bytes. An initramfs is unpacked into memory, so a real one fits into that of a small guest.
EXPANDED_LIMIT = 1024 * 1024 * 1024
#: Bytes of memory for the dictionary of xz. The kernel's own tools use 1 MiB to 64 MiB.
_MEMORY_LIMIT = 192 * 1024 * 1024

_MAGICS = (
    (b"\x1f\x8b", "gzip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"BZh", "bzip2"),
    (b"\x5d\0\0", "lzma"),
)
#: Commands that expand and compress. The kernel supports only lz4's legacy format (-l).
_PROGRAMS = {
    "zstd": (["zstd", "-q", "-d", "-c"], ["zstd", "-q", "-9", "-c"]),
    "lz4": (["lz4", "-q", "-d", "-c"], ["lz4", "-q", "-9", "-l", "-c"]),
}


class _Expander(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


def kind_of(start: bytes) -> str | None:
    """Return the name of the compression by the first bytes of the data, or None if it is unknown."""
    return next((name for magic, name in _MAGICS if start.startswith(magic)), None)


def expand(kind: str, source: BinaryIO, offset: int, target: Path, limit: int = EXPANDED_LIMIT) -> int:
    """Expand the compressed data at an offset into a file, and return the offset after the data.

    Data that a program expands is assumed to reach to the end of the source. Memory use is limited to two chunks, even
    for a small source with huge content.

    :param limit: the largest allowed size of the target, in bytes.
    :raises ArchiveError: the data is damaged or too large, or the program is missing.
    """
    if kind in _PROGRAMS:
        # The program reads from the descriptor, whose position differs from that of Python's buffer.
        os.lseek(source.fileno(), offset, os.SEEK_SET)
        return _expand_with_program(_PROGRAMS[kind][0], source, target, limit)
    source.seek(offset)
    expander: _Expander
    if kind == "gzip":
        expander = zlib.decompressobj(wbits=31)
    elif kind == "bzip2":
        expander = bz2.BZ2Decompressor()
    else:
        form = lzma.FORMAT_XZ if kind == "xz" else lzma.FORMAT_ALONE
        expander = lzma.LZMADecompressor(format=form, memlimit=_MEMORY_LIMIT)
    written = 0
    held = b""
    with target.open("wb") as out:
        while not expander.eof:
            try:
                data = expander.decompress(held, _CHUNK)
                # zlib returns the input that it has not consumed; the others keep it.
                held = getattr(expander, "unconsumed_tail", b"")
            except (zlib.error, lzma.LZMAError, OSError, EOFError) as err:
                raise ArchiveError(f"the {kind} data is damaged: {err}") from err
            written += len(data)
            if written > limit:
                raise ArchiveError("it is too large")
            out.write(data)
            if not data and not held and not expander.eof:
                held = source.read(_CHUNK)
                if not held:
                    raise ArchiveError(f"the {kind} data ends too early")
    return source.tell() - len(expander.unused_data)


def _expand_with_program(argv: list[str], source: BinaryIO, target: Path, limit: int) -> int:
    with target.open("wb") as out, _started(argv, stdin=source, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - narrows the type
        written = 0
        while chunk := process.stdout.read(_CHUNK):
            written += len(chunk)
            if written > limit:
                process.kill()
                raise ArchiveError("it is too large")
            out.write(chunk)
    if process.returncode != 0:
        raise ArchiveError(f"{argv[0]} failed with exit status {process.returncode}")
    source.seek(0, 2)
    return source.tell()


def compress(kind: str, chunks: Iterable[bytes], out: BinaryIO) -> None:
    """Compress chunks of bytes, and append the result to a file.

    :raises ArchiveError: the compression is not supported, or the program is missing or failed.
    """
    if kind in _PROGRAMS:
        argv = _PROGRAMS[kind][1]
        out.flush()
        with _started(argv, stdin=subprocess.PIPE, stdout=out) as process:
            assert process.stdin is not None  # noqa: S101 - narrows the type
            try:
                for chunk in chunks:
                    process.stdin.write(chunk)
                process.stdin.close()
            except BrokenPipeError as err:
                raise ArchiveError(f"{argv[0]} stopped reading") from err
        if process.returncode != 0:
            raise ArchiveError(f"{argv[0]} failed with exit status {process.returncode}")
        out.seek(0, 2)
        return
    compressor: _Compressor
    if kind == "gzip":
        compressor = zlib.compressobj(level=6, wbits=31)
    elif kind == "bzip2":
        compressor = bz2.BZ2Compressor()
    elif kind == "xz":
        # The kernel supports only CRC32 checksums.
        compressor = lzma.LZMACompressor(format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC32)
    elif kind == "lzma":
        compressor = lzma.LZMACompressor(format=lzma.FORMAT_ALONE)
    else:
        raise ArchiveError(f"compressing with {kind} is not supported")
    for chunk in chunks:
        out.write(compressor.compress(chunk))
    out.write(compressor.flush())


def _started(argv: list[str], *, stdin: IO[bytes] | int, stdout: IO[bytes] | int) -> subprocess.Popen[bytes]:
    program = shutil.which(argv[0])
    if program is None:
        raise ArchiveError(f"the program {argv[0]} is not installed on this host")
    return subprocess.Popen([program, *argv[1:]], stdin=stdin, stdout=stdout, stderr=subprocess.DEVNULL)
