# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognize vpc, vhdx and vdi images that hold only the differences from a parent, which qemu cannot open.

qemu reads such a VHD as if the parent were all zeros, and refuses the other two without giving the reason. Formats:
Microsoft's "Virtual Hard Disk Image Format Specification", MS-VHDX 2.2.3 and 2.6.2, VirtualBox VDICore.h.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import IO

from v2v_core.errors import SourceError

_VPC_DIFFERENCING = 4
_VHDX_REGION_TABLE = 192 * 1024
_VHDX_METADATA = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E").bytes_le
_VHDX_FILE_PARAMETERS = uuid.UUID("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").bytes_le
_VHDX_HAS_PARENT = 1 << 1
_VHDX_TABLE = 64 * 1024


def check_has_no_parent(path: Path, image_format: str, start: int = 0) -> None:
    """Check that an image has no parent.

    :param start: offset of the image in the file, in bytes.
    :raises SourceError: the image has a parent.
    """
    readers = {"vpc": _vpc, "vhdx": _vhdx, "vdi": _vdi}
    reader = readers.get(image_format)
    if reader is None:
        return
    try:
        with path.open("rb") as stream:
            has_parent = reader(stream, start)
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}") from err
    except (struct.error, OverflowError):
        # the file is too short, or an offset is impossible: qemu-img check reports that
        return
    if has_parent:
        raise SourceError(
            f"{path} holds only the differences from another {image_format} image, its parent",
            hint="merge the two with the program that made them (Hyper-V: Merge-VHD, VirtualBox: VBoxManage "
            "clonemedium), and convert the result",
        )


def _read(stream: IO[bytes], offset: int, size: int) -> bytes:
    stream.seek(offset)
    return stream.read(size)


def _vpc(stream: IO[bytes], start: int) -> bool:
    (kind,) = struct.unpack_from(">I", _read(stream, start, 512), 60)
    return bool(kind == _VPC_DIFFERENCING)


def _vdi(stream: IO[bytes], start: int) -> bool:
    """Check for the UUIDs of the previous snapshot and of the parent (uuidLinkage, uuidParentModify)."""
    header = _read(stream, start, 512)
    if len(header) < 512:
        return False
    return any(header[0x1A8:0x1C8])


def _vhdx(stream: IO[bytes], start: int) -> bool:
    region = _entry(_read(stream, start + _VHDX_REGION_TABLE, _VHDX_TABLE), _VHDX_METADATA, "<Q", at=16)
    if region is None:
        return False
    item = _entry(_read(stream, start + region, _VHDX_TABLE), _VHDX_FILE_PARAMETERS, "<I", at=16)
    if item is None:
        return False
    (flags,) = struct.unpack_from("<I", _read(stream, start + region + item, 8), 4)
    return bool(flags & _VHDX_HAS_PARENT)


def _entry(table: bytes, guid: bytes, layout: str, *, at: int) -> int | None:
    """Return the offset that a table of regions or metadata items has for a GUID."""
    place = table.find(guid)
    return None if place < 0 else int(struct.unpack_from(layout, table, place + at)[0])
