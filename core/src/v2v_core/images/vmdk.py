# SPDX-License-Identifier: GPL-2.0-or-later
"""Read VMDK descriptors, which name the files of a disk's extents (VMware "Virtual Disk Format 5.0").

qemu reads the lines of extents with sscanf(3) (vmdk_parse_extents in block/vmdk.c) and so accepts lines that VMware's
programs never write. This reader treats such lines as errors. It therefore finds every name that qemu would open, and
reads each name as qemu does.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

#: Bytes of a descriptor that qemu reads (vmdk_read_desc); it ignores the rest.
LONGEST_DESCRIPTOR = 1024 * 1024 - 1
_SECTOR = 512
#: Extents that hold the bytes of the disk without a header.
_RAW_TYPES = frozenset({"FLAT", "VMFS"})
_SPARSE_TYPES = frozenset({"SPARSE", "VMFSSPARSE", "SESPARSE"})
_SPACE = r"[ \t\n\v\f\r]"
# Lines that qemu may read as an extent: their first word is an access mode.
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

    :param sparse: the file has a header, which qemu reads.
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
    """The fields of a sparse extent's header that locate its descriptor.

    :param capacity: sectors; 0 makes qemu open the extents that the descriptor names.
    :param descriptor_offset: bytes from the start of the file; 0 if there is no descriptor.
    :param descriptor_size: bytes.
    """

    capacity: int
    descriptor_offset: int
    descriptor_size: int


def read_sparse_header(head: bytes) -> SparseHeader:
    """Read the header of a sparse extent.

    :raises struct.error: the header is too short.
    """
    # magic, version, flags, capacity, grain size, offset and size of the descriptor; all in sectors
    capacity, _, offset, size = struct.unpack_from("<QQQQ", head, 12)
    return SparseHeader(capacity, offset * _SECTOR, size * _SECTOR)


def parse_descriptor(data: bytes, *, embedded: bool = False) -> Descriptor:
    """Read a descriptor.

    :param embedded: the descriptor lies in the file of its only extent; qemu then ignores the names in it.
    :raises ValueError: it is too long, or has an extent that qemu cannot open or would skip.
    """
    # a string of C ends at the first NUL
    data = data.split(b"\0", 1)[0]
    if len(data) > LONGEST_DESCRIPTOR:
        raise ValueError(f"the descriptor is longer than {LONGEST_DESCRIPTOR} bytes")
    text = data.decode("utf-8", "surrogateescape")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if _MAYBE_EXTENT.match(line)]
    if embedded and len(lines) > 1:
        raise ValueError(f"it is only one of the {len(lines)} extents that its descriptor lists")
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
        raise ValueError(f"the extent in line {number} of the descriptor, {access} {kind}, is of an unsupported kind")
    if name is None or len(name.encode("utf-8", "surrogateescape")) > _LONGEST_NAME:
        raise ValueError(f"the extent in line {number} of the descriptor has no usable file name")
    return Extent(name, sparse=kind in _SPARSE_TYPES)
