# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks as Windows leaves them: NTFS of mkntfs in several states, and the headers of what else is on disks."""

from __future__ import annotations

import struct
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

MIB = 1024 * 1024
BASIC_DATA = uuid.UUID("EBD0A0A2-B9E5-4433-87C0-68B6B72699C7")
POOL = uuid.UUID("E75CAF8F-F680-4CEE-AFA3-B001E56EFC2D")
_VOLUME_INFORMATION = 0x70


def ntfs(place: Path, files: dict[str, bytes] | None = None, size: int = 8 * MIB) -> bytes:
    """Return an NTFS volume with files in its root directory."""
    image, content = place / "ntfs.img", place / "content"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run(["mkntfs", "-F", "-Q", "-q", image], check=True, capture_output=True)
    for name, data in (files or {}).items():
        content.write_bytes(data)
        subprocess.run(["ntfscp", "-q", "-f", image, content, name], check=True, capture_output=True)
    return image.read_bytes()


def with_journal(volume: bytes, *, closed: bool, version: tuple[int, int] = (1, 1)) -> bytes:
    """Return the volume with restart pages in its journal: of one that was closed, or was not.

    Version 2.0 is what Windows 8 and later leaves if it keeps the volume's metadata in its memory.
    """
    start = volume.index(b"\xff" * 65536)
    assert start % 4096 == 0
    page = _restart_page(closed, version)
    return volume[:start] + page + page + volume[start + 2 * len(page) :]


def marked_dirty(volume: bytes) -> bytes:
    """Return the volume as Windows marks it for a check, in the MFT and in the copy of its beginning."""
    marked = bytearray(volume)
    for table in (_mft(volume), _mft(volume, at=0x38)):
        place = _volume_information(volume, table)
        marked[place + 10 : place + 12] = b"\x01\0"
    return bytes(marked)


def damaged(volume: bytes) -> bytes:
    """Return the volume without the second record of its MFT, of which the copy is still there."""
    start = _mft(volume) + 1024
    return volume[:start] + bytes(1024) + volume[start + 1024 :]


def bitlocker(*protections: int, size: int = MIB) -> bytes:
    """Return the header of a BitLocker volume and its metadata, with the given protections of its master key."""
    place = 128 * 1024
    header = bytearray(512)
    header[:11] = b"\xeb\x58\x90-FVE-FS-"
    # What blkid looks at as well: bytes per sector, sectors per cluster.
    struct.pack_into("<HB", header, 11, 512, 8)
    header[160:176] = uuid.UUID("4967D63B-2E29-4AD8-8399-F6A339E3D001").bytes_le
    struct.pack_into("<3Q", header, 176, place, place + 65536, place + 131072)
    header[510:] = b"\x55\xaa"
    entries = b"".join(
        struct.pack("<HHHH16sQHH", 36, 2, 8, 1, uuid.uuid4().bytes_le, 0, 0, protection) for protection in protections
    )
    description = struct.pack("<HHHH", 24, 7, 2, 1) + "C: 2026\0".encode("utf-16-le")
    listed = description + entries
    block = bytearray(65536)
    struct.pack_into("<8sHH", block, 0, b"-FVE-FS-", 4096, 2)
    struct.pack_into("<IIII", block, 64, 48 + len(listed), 1, 48, 48 + len(listed))
    block[64 + 48 : 64 + 48 + len(listed)] = listed
    return (bytes(header).ljust(place, b"\0") + bytes(block) * 3).ljust(size, b"\0")


def gpt(volumes: Sequence[bytes], kind: uuid.UUID = BASIC_DATA) -> bytes:
    """Return a disk with a GPT and these partitions, each at a whole MiB."""
    entries, disk, start = b"", b"", MIB
    for volume in volumes:
        first = start // 512
        entries += struct.pack(
            "<16s16sQQQ72s", kind.bytes_le, uuid.uuid4().bytes_le, first, first + len(volume) // 512 - 1, 0, b""
        )
        disk += volume.ljust(-(-len(volume) // MIB) * MIB, b"\0")
        start = MIB + len(disk)
    sectors = (start + MIB) // 512
    table = entries.ljust(128 * 128, b"\0")
    identity = uuid.uuid4().bytes_le
    primary = _gpt_header(1, sectors - 1, 2, sectors, identity, table)
    backup = _gpt_header(sectors - 1, 1, sectors - 33, sectors, identity, table)
    protective = struct.pack("<446xB3sB3sII48xH", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1, 0xAA55)
    start_of_disk = (protective + primary.ljust(512, b"\0") + table).ljust(MIB, b"\0")
    return start_of_disk + disk + bytes(MIB - 33 * 512) + table + backup.ljust(512, b"\0")


def mbr(kind: int, volume: bytes, signature: int = 0x12345678) -> bytes:
    """Return a disk with one partition of this type, at 1 MiB."""
    sectors = len(volume) // 512
    table = struct.pack(
        "<440xIHB3sB3sII48xH", signature, 0, 0x80, b"\0\2\0", kind, b"\xff\xff\xff", 2048, sectors, 0xAA55
    )
    return table.ljust(MIB, b"\0") + volume


def _gpt_header(own: int, other: int, table_at: int, sectors: int, identity: bytes, table: bytes) -> bytes:
    from zlib import crc32

    def packed(checksum: int) -> bytes:
        return struct.pack(
            "<8sIIIIQQQQ16sQIII",
            b"EFI PART",
            0x10000,
            92,
            checksum,
            0,
            own,
            other,
            34,
            sectors - 34,
            identity,
            table_at,
            128,
            128,
            crc32(table),
        )

    return packed(crc32(packed(0)))


def _mft(volume: bytes, at: int = 0x30) -> int:
    """Return the offset of the MFT, or of its copy, from the boot sector."""
    return int.from_bytes(volume[at : at + 8], "little") * volume[0x0D] * 512


def _volume_information(volume: bytes, table: int) -> int:
    """Return where the volume's information is, in the fourth record of 1024 bytes of the MFT."""
    record = table + 3 * 1024
    (offset,) = struct.unpack_from("<H", volume, record + 20)
    while True:
        kind, length = struct.unpack_from("<II", volume, record + offset)
        if kind == _VOLUME_INFORMATION:
            (start,) = struct.unpack_from("<H", volume, record + offset + 20)
            return int(record + offset + start)
        offset += length


def _restart_page(closed: bool, version: tuple[int, int]) -> bytes:
    """Return a restart page of a journal with NTFS as its client; one in use has a client and not the flag 2."""
    area_at, array_at, name = 0x30, 0x30, "NTFS".encode("utf-16-le").ljust(128, b"\0")
    client = struct.pack("<QQHHHHII", 0x1000, 0x1000, 0xFFFF, 0xFFFF, 0, 0, 0, 8) + name
    in_use, flags = (0xFFFF, 2) if closed else (0, 0)
    length = array_at + len(client)
    area = struct.pack(
        "<QHHHHIHHQIHHI", 0x2000, 1, 0xFFFF, in_use, flags, 45, length, array_at, 2 * MIB, 0, 0x30, 0x40, 0
    )
    major, minor = version
    head = struct.pack("<4sHHQIIHHH", b"RSTR", 0x1E, 9, 0, 4096, 4096, area_at, minor, major)
    page = bytearray((head.ljust(area_at, b"\0") + area.ljust(array_at, b"\0") + client).ljust(4096, b"\0"))
    struct.pack_into("<H", page, 0x1E, 1)
    for index in range(8):
        end = 512 * (index + 1)
        page[0x20 + 2 * index : 0x22 + 2 * index] = page[end - 2 : end]
        struct.pack_into("<H", page, end - 2, 1)
    return bytes(page)
