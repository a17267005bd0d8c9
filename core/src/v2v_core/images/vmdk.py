# SPDX-License-Identifier: GPL-2.0-or-later
"""VMDK descriptors: which files the extents of a disk lie in (VMware "Virtual Disk Format 5.0").

The reader is stricter than qemu's, which looks for extents with sscanf(3) (vmdk_parse_extents in block/vmdk.c) and so
takes many a line for an extent that no program of VMware's would write. Such lines are errors here. Every name that
qemu opens is therefore found, and read as qemu reads it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

#: Bytes of a descriptor that qemu reads (vmdk_read_desc); what comes after them it does not see.
LONGEST_DESCRIPTOR = 1024 * 1024 - 1
_SECTOR = 512
#: Extents that are the bytes of the disk, without any header.
_RAW_TYPES = frozenset({"FLAT", "VMFS"})
_SPARSE_TYPES = frozenset({"SPARSE", "VMFSSPARSE", "SESPARSE"})
_SPACE = r"[ \t\n\v\f\r]"
# A line that qemu may take for an extent: its first word is an access mode.
_MAYBE_EXTENT = re.compile(rf"{_SPACE}*(RW|RDONLY|NOACCESS)(?:{_SPACE}|\Z)")
# RW 4192256 SPARSE "disk-s001.vmdk"     RW 63 FLAT "disk-flat.vmdk" 0      RW 2 ZERO
_EXTENT = re.compile(
    r"[ \t]*(?P<access>RW|RDONLY|NOACCESS)[ \t]+[0-9]{1,18}[ \t]+(?P<type>[A-Z]{1,10})"
    r'(?:[ \t]+"(?P<file>[^"\r\n]+)"(?:[ \t]+[0-9]{1,18})?)?[ \t]*\r?'
)
_PARENT = re.compile(r'^\s*parentFileNameHint\s*=\s*"?(?P<file>[^"\r\n]*)', re.MULTILINE | re.IGNORECASE)
_NO_PARENT = re.compile(r"^\s*parentCID\s*=\s*ffffffff\s*$", re.MULTILINE | re.IGNORECASE)
#: Bytes of a file name that qemu reads.
_LONGEST_NAME = 511


@dataclass(frozen=True)
class Extent:
    """A file that holds a part of a disk.

    :param sparse: it has a header of its own, which qemu reads.
    """

    name: str
    sparse: bool


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """The files that a descriptor names."""

    parent: str | None = None
    extents: tuple[Extent, ...] = ()


@dataclass(frozen=True)
class SparseHeader:
    """The header of a sparse extent, as far as it says where a descriptor is.

    :param capacity: sectors; 0 makes qemu open the extents that the descriptor names.
    :param descriptor_offset: bytes from the start of the file; 0 if there is no descriptor.
    :param descriptor_size: bytes.
    """

    capacity: int
    descriptor_offset: int
    descriptor_size: int


def read_sparse_header(head: bytes) -> SparseHeader:
    """Read the header of a sparse extent.

    :raises struct.error: it is too short.
    """
    # magic, version, flags, capacity, grain size, offset and size of the descriptor; all in sectors
    capacity, _, offset, size = struct.unpack_from("<QQQQ", head, 12)
    return SparseHeader(capacity, offset * _SECTOR, size * _SECTOR)


def parse_descriptor(data: bytes, *, embedded: bool = False) -> Descriptor:
    """Read a descriptor.

    :param embedded: it lies in the file of its one extent, so that qemu opens no file that it names.
    :raises ValueError: it is too long, or has an extent that qemu cannot open or would leave out.
    """
    # C's strings end at the first NUL
    data = data.split(b"\0", 1)[0]
    if len(data) > LONGEST_DESCRIPTOR:
        raise ValueError(f"the descriptor is longer than {LONGEST_DESCRIPTOR} bytes")
    text = data.decode("utf-8", "surrogateescape")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if _MAYBE_EXTENT.match(line)]
    if embedded and len(lines) > 1:
        raise ValueError(f"it is one of {len(lines)} extents, and the descriptor of them all is within it")
    extents = () if embedded else tuple(_extent(line, number) for number, line in lines)
    parent = _PARENT.search(text)
    name = parent["file"].strip() if parent is not None and not _NO_PARENT.search(text) else None
    return Descriptor(parent=name or None, extents=extents)


def _extent(line: str, number: int) -> Extent:
    match = _EXTENT.fullmatch(line)
    if match is None:
        raise ValueError(f"line {number} of the descriptor is not an extent: {line.strip()[:80]!r}")
    access, kind, name = match["access"], match["type"], match["file"]
    if access != "RW" or kind not in _RAW_TYPES | _SPARSE_TYPES:
        raise ValueError(
            f"the extent in line {number} of the descriptor, {access} {kind}, is of a kind that is not read"
        )
    if name is None or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        raise ValueError(f"the extent in line {number} of the descriptor has no usable file name")
    return Extent(name, sparse=kind in _SPARSE_TYPES)
