# SPDX-License-Identifier: GPL-2.0-or-later
"""The state in which Windows left an NTFS volume: hibernated, not closed, due for a check, damaged.

Nothing is mounted for writing: ntfs-3g would throw away the journal of a volume that was not closed.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.session import Session

#: Where Windows keeps the memory of a hibernated system, and what the file begins with then.
_HIBERFIL = "/hiberfil.sys"
_HIBERNATED = (b"hibr", b"HIBR")
#: Bytes: ntfs-3g takes a volume with a shorter file for one that belongs to a hibernated system.
_SHORTEST_HIBERFIL = 4096
#: What ``ntfs-3g.probe`` returns (its manual page has the list).
_DAMAGED, _CACHED, _NOT_CLOSED = 13, 14, 15
#: The record of $Volume in the MFT, the attribute with its flags, and the flag of a volume that is due for a check.
_VOLUME_RECORD, _VOLUME_INFORMATION, _DIRTY = 3, 0x70, 0x0001
_LAST_ATTRIBUTE = 0xFFFFFFFF
_BOOT_SECTOR = 512
#: Bytes: records of the MFT have 1024 or 4096.
_LONGEST_RECORD = 65536


class Obstacle(Enum):
    """Why an NTFS volume must not be written, as the middle of a sentence that ends with what it means."""

    HIBERNATED = "hiberfil.sys holds the memory of a running Windows (also after a shutdown with Fast Startup)"
    CACHED = "a hibernated Windows or one that was shut down with Fast Startup still has a part of it in its memory"
    SHORT_HIBERFIL = "its hiberfil.sys is cut short, so ntfs-3g takes it for that of a hibernated Windows"
    NOT_CLOSED = (
        "it was not closed: its journal has entries that only Windows can replay, as after a crash or in a snapshot "
        "of a running guest"
    )
    DIRTY = "Windows has marked it as dirty: it is to be checked (chkdsk) at the next start"
    DAMAGED = "it is damaged"


_SHUT_DOWN = (
    "start the guest at its hypervisor and shut Windows down completely: shutdown /s /t 0, which does not use Fast "
    "Startup; powercfg /h off turns off hibernation and Fast Startup for good"
)
_REPAIR = (
    "start the guest at its hypervisor, run chkdsk /f on the volume and restart, until fsutil dirty query says that it "
    "is not dirty, then shut Windows down"
)
REMEDIES = {
    Obstacle.HIBERNATED: _SHUT_DOWN,
    Obstacle.CACHED: _SHUT_DOWN,
    Obstacle.SHORT_HIBERFIL: "run powercfg /h off in the guest at its hypervisor, which removes the file, and shut it "
    "down",
    Obstacle.NOT_CLOSED: "start the guest at its hypervisor, so that Windows replays the journal, and shut it down; "
    "then convert it while it is off",
    Obstacle.DIRTY: _REPAIR,
    Obstacle.DAMAGED: _REPAIR,
}


@dataclass(frozen=True)
class Geometry:
    """What the boot sector of an NTFS volume says: the sizes in bytes, and where the MFT begins."""

    sector: int
    record: int
    mft: int


def find_obstacles(session: Session, device: str) -> list[Obstacle]:
    """Return why an NTFS volume must not be written; nothing if it may be. Nothing must be mounted."""
    found = []
    probed = _probe(session, device)
    header = _read_hiberfil(session, device)
    if header is not None and header[:4] in _HIBERNATED:
        found.append(Obstacle.HIBERNATED)
    elif probed == _CACHED:
        short = header is not None and len(header) < _SHORTEST_HIBERFIL
        found.append(Obstacle.SHORT_HIBERFIL if short else Obstacle.CACHED)
    elif probed == _NOT_CLOSED:
        found.append(Obstacle.NOT_CLOSED)
    elif probed == _DAMAGED:
        found.append(Obstacle.DAMAGED)
    if is_dirty(session, device):
        found.append(Obstacle.DIRTY)
    return found


def _probe(session: Session, device: str) -> int | None:
    """Ask ntfs-3g whether it would mount the volume for writing; return its answer, or None if it has none."""
    try:
        return int(session.handle.ntfs_3g_probe(True, device))
    except RuntimeError as err:
        session.report.debug(f"{device}: {brief(err)}")
        return None


def _read_hiberfil(session: Session, device: str) -> bytes | None:
    """Return the beginning of the volume's hiberfil.sys, None if it has none."""
    handle = session.handle
    try:
        handle.mount_ro(device, "/")
        path = str(handle.case_sensitive_path(_HIBERFIL))
        if not handle.is_file(path):
            return None
        return bytes(handle.pread(path, _SHORTEST_HIBERFIL, 0))
    except (RuntimeError, UnicodeDecodeError) as err:
        # libguestfs finds no such file, or the volume cannot be mounted, which its caller finds out as well.
        session.report.debug(f"{device}: {err if isinstance(err, UnicodeDecodeError) else brief(err)}")
        return None
    finally:
        with suppress(RuntimeError):
            handle.umount_all()


def is_dirty(session: Session, device: str) -> bool:
    """Return whether Windows has marked a volume for a check. A volume that cannot be read is not marked."""
    try:
        geometry = parse_boot_sector(bytes(session.handle.pread_device(device, _BOOT_SECTOR, 0)))
        if geometry is None:
            return False
        flags = volume_flags(_read_record(session.handle, device, geometry), geometry)
    except RuntimeError as err:
        session.report.debug(f"{device}: {brief(err)}")
        return False
    return flags is not None and bool(flags & _DIRTY)


def _read_record(handle: Handle, device: str, geometry: Geometry) -> bytes:
    return bytes(handle.pread_device(device, geometry.record, geometry.mft + _VOLUME_RECORD * geometry.record))


def parse_boot_sector(sector: bytes) -> Geometry | None:
    """Return what the boot sector of an NTFS volume says; None if it is none, or says what cannot be."""
    if len(sector) < _BOOT_SECTOR or sector[3:11] != b"NTFS    ":
        return None
    bytes_per_sector, per_cluster = struct.unpack_from("<HB", sector, 0x0B)
    (first,) = struct.unpack_from("<Q", sector, 0x30)
    (record_size,) = struct.unpack_from("<b", sector, 0x40)
    # Large clusters, and records that are smaller than a cluster, are stated as a power of two.
    sectors = per_cluster if per_cluster <= 0x80 else 1 << (256 - per_cluster)
    cluster = bytes_per_sector * sectors
    record = record_size * cluster if record_size > 0 else 1 << -record_size
    if bytes_per_sector not in {512, 1024, 2048, 4096} or not 512 <= record <= _LONGEST_RECORD or not sectors:
        return None
    # Offsets are signed numbers for libguestfs.
    return Geometry(bytes_per_sector, record, first * cluster) if first * cluster < 1 << 62 else None


def volume_flags(record: bytes, geometry: Geometry) -> int | None:
    """Return the flags of a volume in its record of the MFT; None if they are not in it."""
    fixed = _without_update_sequence(record, geometry)
    if fixed is None:
        return None
    (offset,) = struct.unpack_from("<H", fixed, 20)
    while offset + 24 <= len(fixed):
        kind, length = struct.unpack_from("<II", fixed, offset)
        if kind == _LAST_ATTRIBUTE or length < 24:
            return None
        if kind == _VOLUME_INFORMATION:
            (start,) = struct.unpack_from("<H", fixed, offset + 20)
            content = fixed[offset + start : offset + start + 12]
            return int.from_bytes(content[10:12], "little") if len(content) == 12 else None
        offset += length
    return None


def _without_update_sequence(record: bytes, geometry: Geometry) -> bytes | None:
    """Return a record of the MFT with the bytes that NTFS has replaced at the end of each 512; None if it is none."""
    if len(record) != geometry.record or record[:4] != b"FILE":
        return None
    start, count = struct.unpack_from("<HH", record, 4)
    fixed = bytearray(record)
    if start + 2 * count > len(record) or (count - 1) * 512 > len(record):
        return None
    number = record[start : start + 2]
    for index in range(1, count):
        end = index * 512
        if fixed[end - 2 : end] != number:
            return None
        fixed[end - 2 : end] = record[start + 2 * index : start + 2 * index + 2]
    return bytes(fixed)
