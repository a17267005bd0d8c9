# SPDX-License-Identifier: GPL-2.0-or-later
"""Read which other files the header of an image names, without opening them.

This is code of our own because qemu-img opens the named files before it lists them. The format of qcow2 is specified in
qemu's docs/interop/qcow2.txt; for VMDK see ``vmdk``. Images of vhdx, vdi and vpc can have parents, which qemu never
opens: see ``parents``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from v2v_core.errors import SourceError
from v2v_core.images.vmdk import LONGEST_DESCRIPTOR, Descriptor, Extent, parse_descriptor, read_sparse_header

#: The largest header or descriptor, in bytes.
_LARGEST = 1024 * 1024
_QCOW2_DATA_FILE = 1 << 2
_QCOW2_BACKING_FORMAT = 0xE2792ACA
_QCOW2_DATA_FILE_NAME = 0x44415441


@dataclass(frozen=True, kw_only=True)
class References:
    """The other files that a header names.

    :param data_file: qemu resolves this name against its current directory, the others against that of the image.
    """

    backing: str | None = None
    backing_format: str | None = None
    data_file: str | None = None
    extents: tuple[Extent, ...] = ()

    @property
    def any(self) -> bool:
        """Whether the header names another file."""
        return self.backing is not None or self.data_file is not None or bool(self.extents)

    def beside(self) -> list[str]:
        """Return the names that are resolved against the directory of the image."""
        return [name for name in (self.backing, *(extent.name for extent in self.extents)) if name is not None]

    def describe(self) -> str:
        """Return the names as text for an error message."""
        named = [("backing file", self.backing), ("data file", self.data_file)]
        named += [("extent", extent.name) for extent in self.extents[:3]]
        return ", ".join(f"{what} {name!r}" for what, name in named if name is not None)


def read_references(path: Path, image_format: str, size: int, *, start: int = 0) -> References:
    """Read which other files the header of an image names.

    :param size: of the image, in bytes; 0 for a device.
    :param start: offset of the image in the file, in bytes.
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
            f"{path} cannot be read as a {image_format} image: {err}",
            hint="it is damaged, or has another format: convert it with -i disk -if FORMAT, or copy it into one "
            "self-contained image with qemu-img convert",
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
        # a sparse extent of ESX, in which qemu does not look for a parent
        return References()
    if not head.startswith(b"KDMV"):
        return _from_descriptor(parse_descriptor(head))
    header = read_sparse_header(head)
    if not header.descriptor_offset:
        return References()
    # if the capacity is 0, qemu only reads the descriptor, and ignores the size in the header
    embedded = header.capacity != 0
    length = header.descriptor_size if embedded else LONGEST_DESCRIPTOR + 1
    end = header.descriptor_offset + header.descriptor_size
    if header.descriptor_size > _LARGEST or end > max(size, len(head)):
        raise ValueError("the descriptor lies outside the file")
    if size:
        # in an archive, the next file follows
        length = min(length, size - header.descriptor_offset)
    with path.open("rb") as stream:
        stream.seek(base + header.descriptor_offset)
        descriptor = parse_descriptor(stream.read(length), embedded=embedded)
    return _from_descriptor(descriptor)


def _from_descriptor(descriptor: Descriptor) -> References:
    return References(
        backing=descriptor.parent,
        backing_format="vmdk" if descriptor.parent else None,
        extents=descriptor.extents,
    )
