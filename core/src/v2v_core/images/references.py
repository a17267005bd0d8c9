# SPDX-License-Identifier: GPL-2.0-or-later
"""What the header of an image says about other files, read without opening any.

Own code, because every tool that could be asked opens these files in order to answer. Formats: qemu
docs/interop/qcow2.txt; VMware "Virtual Disk Format 5.0" (sparse extent header, embedded descriptor). vhdx, vdi and vpc
can have parents too, which qemu cannot open: it refuses such images itself.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

from v2v_core.errors import SourceError

#: No header or descriptor is larger than this, in bytes.
_LARGEST = 1024 * 1024
_QCOW2_DATA_FILE = 1 << 2
_QCOW2_BACKING_FORMAT = 0xE2792ACA
_QCOW2_DATA_FILE_NAME = 0x44415441
_SECTOR = 512
# RW 4192256 SPARSE "disk-s001.vmdk"     RW 63 FLAT "disk-flat.vmdk" 0      RW 2 ZERO
_VMDK_EXTENT = re.compile(r'^\s*(RW|RDONLY|NOACCESS)\s+\d+\s+(?P<type>[A-Z]+)\s*(?:"(?P<file>[^"]*)")?', re.MULTILINE)
_VMDK_PARENT = re.compile(r'^\s*parentFileNameHint\s*=\s*"?(?P<file>[^"\r\n]*)', re.MULTILINE | re.IGNORECASE)
_VMDK_NO_PARENT = re.compile(r"^\s*parentCID\s*=\s*ffffffff\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class References:
    """The other files that a header names."""

    backing: str | None = None
    backing_format: str | None = None
    data_file: str | None = None
    extents: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Tell whether there is one."""
        return self.backing is not None or self.data_file is not None or bool(self.extents)

    def names(self) -> list[str]:
        """Give the names of all of them."""
        return [name for name in (self.backing, self.data_file, *self.extents) if name is not None]

    def describe(self) -> str:
        """Name them, for an error."""
        named = [("backing file", self.backing), ("data file", self.data_file)]
        named += [("extent", extent) for extent in self.extents[:3]]
        return ", ".join(f"{what} {name!r}" for what, name in named if name is not None)


def read_references(path: Path, image_format: str, size: int, *, start: int = 0) -> References:
    """Read which other files the header of an image names.

    :param size: of the image, bytes; 0 for a device. :param start: where it begins in the file, bytes.
    :raises SourceError: the header is damaged.
    """
    if image_format not in {"qcow2", "vmdk"}:
        return References()
    try:
        with path.open("rb") as stream:
            stream.seek(start)
            head = stream.read(min(_LARGEST, size) if size else _LARGEST)
        return _qcow2(head) if image_format == "qcow2" else _vmdk(path, head, size, start)
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}") from err
    except (struct.error, ValueError) as err:
        raise SourceError(
            f"{path}: the {image_format} header is damaged: {err}",
            hint="it is not a whole image of this format; check it, and -if",
        ) from err


def _qcow2(head: bytes) -> References:
    magic, version, backing_offset, backing_size = struct.unpack_from(">4sIQI", head)
    if magic != b"QFI\xfb":
        raise ValueError("the magic number is wrong")
    if version not in {2, 3}:
        raise ValueError(f"unknown version {version}")
    incompatible, header_length = 0, 72
    if version == 3:
        (incompatible,) = struct.unpack_from(">Q", head, 72)
        (header_length,) = struct.unpack_from(">I", head, 100)
    extensions = _qcow2_extensions(head, header_length)
    data_file = None
    if incompatible & _QCOW2_DATA_FILE or _QCOW2_DATA_FILE_NAME in extensions:
        data_file = extensions.get(_QCOW2_DATA_FILE_NAME, b"?").decode("utf-8", "replace")
    if not backing_offset:
        return References(data_file=data_file)
    backing = head[backing_offset : backing_offset + backing_size]
    if len(backing) != backing_size or not backing:
        raise ValueError("the name of the backing file lies outside the header")
    backing_format = extensions.get(_QCOW2_BACKING_FORMAT)
    return References(
        backing=backing.decode("utf-8", "surrogateescape"),
        backing_format=backing_format.decode("ascii", "replace") if backing_format is not None else None,
        data_file=data_file,
    )


def _qcow2_extensions(head: bytes, offset: int) -> dict[int, bytes]:
    extensions: dict[int, bytes] = {}
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == 0:
            break
        extensions.setdefault(kind, head[offset + 8 : offset + 8 + length])
        offset += 8 + (length + 7) // 8 * 8  # padded to a multiple of 8
    return extensions


def _vmdk(path: Path, head: bytes, size: int, base: int) -> References:
    if head.startswith(b"COWD"):
        # ESX's own sparse extents; the name of a parent lies at a fixed place that qemu does not look at
        return References()
    if not head.startswith(b"KDMV"):
        return _vmdk_descriptor(head.decode("utf-8", "surrogateescape"), embedded=False)
    # magic, version, flags, capacity, grain size, descriptor offset and size in sectors
    (capacity,) = struct.unpack_from("<Q", head, 12)
    descriptor_offset, descriptor_size = struct.unpack_from("<QQ", head, 28)
    if not descriptor_offset:
        return References()
    start, length = descriptor_offset * _SECTOR, descriptor_size * _SECTOR
    if length > _LARGEST or start + length > max(size, len(head)):
        raise ValueError("the descriptor lies outside the file")
    with path.open("rb") as stream:
        stream.seek(base + start)
        text = stream.read(length).split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    # without a capacity of its own qemu takes the file for a mere descriptor and opens the extents by name
    return _vmdk_descriptor(text, embedded=bool(capacity))


def _vmdk_descriptor(text: str, *, embedded: bool) -> References:
    """Read a descriptor; the one extent of an embedded one is the file itself, whatever name is written there."""
    extents = [(match["type"], match["file"]) for match in _VMDK_EXTENT.finditer(text)]
    named = [name for kind, name in extents if name is not None and kind != "ZERO"]
    if embedded and len(extents) == 1 and extents[0][0] == "SPARSE":
        named = []
    parent = _VMDK_PARENT.search(text)
    backing = parent["file"].strip() if parent is not None and not _VMDK_NO_PARENT.search(text) else None
    return References(backing=backing or None, backing_format="vmdk" if backing else None, extents=tuple(named))
