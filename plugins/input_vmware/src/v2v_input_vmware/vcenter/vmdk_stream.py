# SPDX-License-Identifier: GPL-2.0-or-later
"""Decode stream-optimized VMDKs while they arrive ("Virtual Disk Format 5.0", section "Compressed Grain Size and
Stream-Optimized Format").

Such a stream is a header, then compressed grains, each behind a marker that says where in the disk it belongs, then
tables, a footer and the marker of the end. Nothing in it has to be looked up, so that it is decoded in one pass into a
raw image. zlib's checksum in every grain, and the marker of the end, show damage and truncation at once.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Protocol

_SECTOR = 512
#: magic, version, flags, capacity, grain size, offset and size of the descriptor, entries of a table, redundant
#: directory, directory, overhead, unclean shutdown, four characters that transfers as text change, compression
_HEADER = struct.Struct("<4sIIQQQQIQQQB4sH")
_LINE_ENDS = b"\n \r\n"
_COMPRESSED, _MARKERS = 1 << 16, 1 << 17
_DEFLATE = 1
#: The directory comes behind the grains, and a footer behind it says where.
_AT_END = 0xFFFFFFFFFFFFFFFF
#: Sectors of a grain; VMware writes 128.
_GRAINS = frozenset({8, 16, 32, 64, 128, 256, 512, 1024, 2048})
#: A grain marker: sector in the disk, bytes of compressed data. Without data: sectors that follow, 0, kind.
_MARKER = struct.Struct("<QI")
_KIND = struct.Struct("<I")
_END, _TABLE, _DIRECTORY, _FOOTER = range(4)
#: How much longer than its content zlib makes data that cannot be compressed.
_GROWTH = 4096
_PIECE = 1024 * 1024
_ZEROS = bytes(_PIECE)
#: Entries of a table that name no grain: none, and a grain of zeros.
_NO_GRAIN = frozenset({0, 1})


class DamagedStream(Exception):
    """The stream is truncated or damaged, so that it has to be sent again."""


class WrongStream(Exception):
    """The stream is not what it has to be; sending it again does not help."""


class Arriving(Protocol):
    """The bytes of a stream, in their order."""

    def take(self, size: int) -> bytes:
        """Return the next bytes: exactly this many, or fewer at the end of the stream."""


#: Called with an offset in the disk and the bytes there.
Write = Callable[[int, bytes], None]


def decode(stream: Arriving, size: int, write: Write) -> None:
    """Decode a stream up to its end.

    :param size: bytes of the disk.
    :param write: gets the grains that are not zero.
    :raises DamagedStream: it ends too early, or is damaged.
    :raises WrongStream: it is not a stream-optimized VMDK, or that of another disk.
    """
    head = _exactly(stream, _SECTOR, "its header")
    magic, version, flags, capacity, grain, _, _, entries, _, directory, overhead, _, ends, method = _HEADER.unpack(
        head[: _HEADER.size]
    )
    if magic != b"KDMV" or not 1 <= version <= 3:
        raise WrongStream(f"it is not a VMDK: it begins with {head[:16]!r}")
    if not flags & _COMPRESSED or not flags & _MARKERS or method != _DEFLATE or grain not in _GRAINS:
        raise WrongStream(f"it is not a stream-optimized VMDK (flags {flags:#x}, compression {method}, grain {grain})")
    if ends != _LINE_ENDS:
        raise DamagedStream("its line ends were changed on the way")
    if capacity * _SECTOR != size:
        raise WrongStream(f"it holds a disk of {capacity * _SECTOR} bytes, and the inventory says {size}")
    at_end = directory == _AT_END
    first_table = None if at_end else directory + -(-4 * -(-capacity // (grain * max(1, entries))) // _SECTOR)
    expected = _skip_overhead(stream, max(1, overhead), first_table)
    found = _grains(stream, capacity, grain, write, ends_with_marker=at_end)
    if expected is not None and found != expected:
        raise DamagedStream(f"it ends after {found} of {expected} grains")


def _exactly(stream: Arriving, size: int, what: str) -> bytes:
    data = stream.take(size)
    if len(data) != size:
        raise DamagedStream(f"it ends within {what}")
    return data


def _skip_overhead(stream: Arriving, overhead: int, first_table: int | None) -> int | None:
    """Skip what comes before the grains.

    :param first_table: sector of the tables, if they are there: qemu-img writes them so, and no marker of the end.
    :return: how many grains the tables name.
    """
    at, named = 1, 0
    while at < overhead:
        sectors = min(_PIECE // _SECTOR, overhead - at)
        if first_table is not None and at < first_table:
            sectors = min(sectors, first_table - at)
        data = _exactly(stream, sectors * _SECTOR, "its descriptor and tables")
        if first_table is not None and at >= first_table and not _is_zero(data):
            named += sum(1 for (entry,) in _KIND.iter_unpack(data) if entry not in _NO_GRAIN)
        at += sectors
    return None if first_table is None else named


def _grains(stream: Arriving, capacity: int, grain: int, write: Write, *, ends_with_marker: bool) -> int:
    """Decode grains up to the marker of the end, and return how many there were."""
    found = 0
    while True:
        sector = stream.take(_SECTOR)
        if not sector and not ends_with_marker:
            return found
        if len(sector) != _SECTOR:
            raise DamagedStream("it ends without the marker of its end")
        place, length = _MARKER.unpack_from(sector)
        if length:
            data = _inflated(_compressed(stream, sector, length, grain), place, capacity, grain)
            if not _is_zero(data):
                write(place * _SECTOR, data)
            found += 1
            continue
        (kind,) = _KIND.unpack_from(sector, _MARKER.size)
        if kind == _END:
            return found
        if kind not in {_TABLE, _DIRECTORY, _FOOTER}:
            raise DamagedStream(f"a marker in it is of the unknown kind {kind}")
        while place:
            sectors = min(place, _PIECE // _SECTOR)
            _exactly(stream, sectors * _SECTOR, "a table")
            place -= sectors


def _is_zero(data: bytes) -> bool:
    return data == _ZEROS[: len(data)]


def _compressed(stream: Arriving, sector: bytes, length: int, grain: int) -> bytes:
    """Return the data of a grain, which begins in the sector of its marker and is padded to whole sectors."""
    if length > grain * _SECTOR + _GROWTH:
        raise DamagedStream(f"a grain in it has {length} bytes")
    end = _MARKER.size + length
    missing = -(-end // _SECTOR) * _SECTOR - _SECTOR
    return (sector + _exactly(stream, missing, "a grain"))[_MARKER.size : end] if missing else sector[12:end]


def _inflated(data: bytes, place: int, capacity: int, grain: int) -> bytes:
    """Return the content of a grain, without what lies behind the end of the disk."""
    if place % grain or place >= capacity:
        raise DamagedStream(f"a grain in it belongs to sector {place} of {capacity}")
    inflating, most = zlib.decompressobj(), grain * _SECTOR
    try:
        content = inflating.decompress(data, most + 1)
    except zlib.error as err:
        raise DamagedStream(f"the grain at offset {place * _SECTOR} is damaged: {err}") from err
    wanted = min(grain, capacity - place) * _SECTOR
    if not inflating.eof or not wanted <= len(content) <= most:
        raise DamagedStream(f"the grain at offset {place * _SECTOR} is damaged: it has {len(content)} bytes")
    return content[:wanted]
