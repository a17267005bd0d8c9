# SPDX-License-Identifier: GPL-2.0-or-later
"""The partition tables of the guest's disks, with what Windows knows disks and partitions by.

On a disk with an MBR that is the disk's signature and where the partition begins, on one with a GPT the GUIDs of disk
and partition. Neither changes by the conversion.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.block_sizes import block_size_of
from v2v_convert_guestfs.session import Session

#: Reads ``count`` bytes at ``offset`` of a disk; fewer at its end.
Reader = Callable[[int, int], bytes]

_ESP = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
_ESP_MBR = 0xEF
_PROTECTIVE = 0xEE
_EXTENDED = frozenset({0x05, 0x0F, 0x85})
_DYNAMIC_MBR = 0x42
_DYNAMIC = frozenset(
    {uuid.UUID("5808C8AA-7E8F-42E0-85D2-E1E90434CFB3"), uuid.UUID("AF9B60A0-1431-4F62-BC68-3311714A69AD")}
)
_SIGNATURE = 0x1B8
_SECTOR = 512
#: Bytes: a GPT with the usual number of partitions, in sectors of 4096 bytes.
_START = 2 * 4096 + 128 * 128
#: The list of partitions of a GPT is at the beginning of a disk. It does not begin behind this sector.
_LAST_TABLE = 4096
_ENTRIES = 446
_MOST_LOGICAL = 128
_MOST_GPT = 1024


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A partition.

    :param device: its name in the appliance. :param start: bytes. :param size: bytes.
    :param guid: its own one, of a GPT. :param active: a BIOS starts from it.
    :param logical: it is in an extended partition.
    """

    device: str
    start: int
    size: int
    guid: uuid.UUID | None = None
    active: bool = False
    esp: bool = False
    logical: bool = False


@dataclass(frozen=True, kw_only=True)
class Disk:
    """A disk.

    :param index: its number among the guest's disks, from 1. :param signature: of an MBR; None without one.
    :param guid: of a GPT; None without one. :param dynamic: a dynamic disk of Windows.
    """

    index: int
    device: str
    signature: int | None = None
    guid: uuid.UUID | None = None
    partitions: tuple[Partition, ...] = ()
    dynamic: bool = False


def read_disks(session: Session) -> tuple[Disk, ...]:
    """Read the partition tables of all disks. One that cannot be read counts as a disk without a table."""
    handle = session.handle
    sectors = {disk.index: disk.block_size for disk in session.request.guest.disks}
    disks = []
    for endpoint, device in zip(session.request.disks, map(str, handle.list_devices()), strict=False):
        try:
            start = bytes(handle.pread_device(device, _START, 0))
            # Only a GPT shows it. A program would have to be started to ask, and that takes long without KVM.
            sector = block_size_of(start) or sectors.get(endpoint.index) or _SECTOR
            disks.append(parse(_reader(session, device, start), endpoint.index, device, sector=sector))
        except RuntimeError as err:
            session.report.debug(f"disk {endpoint.index}: {brief(err)}")
            disks.append(Disk(index=endpoint.index, device=device))
    return tuple(disks)


def parse(read: Reader, index: int, device: str, *, sector: int = 512) -> Disk:
    """Read the partition table of one disk."""
    mbr = read(0, 512)
    if len(mbr) < 512 or mbr[510:512] != b"\x55\xaa":
        return Disk(index=index, device=device)
    types = [mbr[_ENTRIES + 16 * i + 4] for i in range(4)]
    if _PROTECTIVE in types and (disk := _gpt(read, index, device, sector=sector)):
        return disk
    return Disk(
        index=index,
        device=device,
        signature=struct.unpack_from("<I", mbr, _SIGNATURE)[0],
        partitions=(*_primary(mbr, device, sector), *_logical(read, mbr, device, sector)),
        dynamic=_DYNAMIC_MBR in types,
    )


def partition_name(device: str, number: int) -> str:
    """Return the name of a partition, as Linux makes it."""
    return f"{device}p{number}" if device[-1].isdigit() else f"{device}{number}"


def _reader(session: Session, device: str, start: bytes) -> Reader:
    """Return a reader of a disk whose beginning is known."""

    def read(offset: int, count: int) -> bytes:
        known = start[offset : offset + count]
        return known if len(known) == count else bytes(session.handle.pread_device(device, count, offset))

    return read


def _gpt(read: Reader, index: int, device: str, *, sector: int) -> Disk | None:
    header = read(sector, 92)
    if len(header) < 92 or not header.startswith(b"EFI PART"):
        return None
    guid = uuid.UUID(bytes_le=header[56:72])
    first, count, length = struct.unpack_from("<QII", header, 72)
    if not 128 <= length <= 4096 or not 2 <= first < _LAST_TABLE:
        return Disk(index=index, device=device, guid=guid)
    count = min(count, _MOST_GPT)
    table = read(first * sector, count * length)
    partitions, dynamic = [], False
    for number in range(1, count + 1):
        entry = table[(number - 1) * length :][:128]
        if len(entry) < 128 or not any(entry[:16]):
            continue
        kind = uuid.UUID(bytes_le=entry[:16])
        start, end = struct.unpack_from("<QQ", entry, 32)
        dynamic = dynamic or kind in _DYNAMIC
        partitions.append(
            Partition(
                device=partition_name(device, number),
                start=start * sector,
                size=max(0, end - start + 1) * sector,
                guid=uuid.UUID(bytes_le=entry[16:32]),
                esp=kind == _ESP,
            )
        )
    return Disk(index=index, device=device, guid=guid, partitions=tuple(partitions), dynamic=dynamic)


def _primary(mbr: bytes, device: str, sector: int) -> Iterator[Partition]:
    for number in range(1, 5):
        flag, kind, start, count = _entry(mbr, number - 1)
        if kind and kind not in _EXTENDED and count:
            yield Partition(
                device=partition_name(device, number),
                start=start * sector,
                size=count * sector,
                active=bool(flag & 0x80),
                esp=kind == _ESP_MBR,
            )


def _logical(read: Reader, mbr: bytes, device: str, sector: int) -> Iterator[Partition]:
    """Yield the logical partitions. Each has a table of its own, which names the next one."""
    base = next((start for _, kind, start, _ in (_entry(mbr, i) for i in range(4)) if kind in _EXTENDED), 0)
    here, number, seen = base, 5, set[int]()
    while here and here not in seen and len(seen) < _MOST_LOGICAL:
        seen.add(here)
        table = read(here * sector, 512)
        if len(table) < 512 or table[510:512] != b"\x55\xaa":
            return
        following = 0
        for _, kind, start, count in (_entry(table, i) for i in range(4)):
            if kind in _EXTENDED:
                following = following or base + start
            elif kind and count:
                yield Partition(
                    device=partition_name(device, number),
                    start=(here + start) * sector,
                    size=count * sector,
                    logical=True,
                )
                number += 1
        here = following


def _entry(table: bytes, index: int) -> tuple[int, int, int, int]:
    """Return the flags, the type, the first sector and the number of sectors of an entry of an MBR."""
    entry = table[_ENTRIES + 16 * index :][:16]
    return entry[0], entry[4], *struct.unpack_from("<II", entry, 8)
