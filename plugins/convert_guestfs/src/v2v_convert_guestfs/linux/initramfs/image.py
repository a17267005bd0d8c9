# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs on the host: archives one after another, each compressed or not; later files replace earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from v2v_convert_guestfs.linux.initramfs import compression, cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError, Entry

_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Segment:
    """One stretch of the image, from ``start`` to ``end``.

    :param kind: its compression, or None. :param expanded: the file that ``entries`` have their offsets in.
    """

    start: int
    end: int
    kind: str | None
    expanded: Path
    entries: tuple[Entry, ...]


@dataclass(frozen=True)
class Image:
    """A whole initramfs."""

    path: Path
    segments: tuple[Segment, ...]

    def entries(self) -> Mapping[str, tuple[Segment, Entry]]:
        """Give what the kernel has after unpacking: the last of each name."""
        return {_plain(entry.name): (segment, entry) for segment in self.segments for entry in segment.entries}

    def read(self, name: str, limit: int = cpio.CONTENT_LIMIT) -> bytes | None:
        """Read a file of it, or give None.

        :raises ArchiveError: it is damaged, or the file is longer than limit (bytes).
        """
        found = self.entries().get(name)
        if found is None or not found[1].is_regular:
            return None
        with found[0].expanded.open("rb") as file:
            return cpio.content(file, found[1], limit)


def read_image(path: Path, directory: Path) -> Image:
    """Read the tables of an initramfs; what is compressed is expanded into files of the directory.

    :raises ArchiveError: it is damaged, or of a kind that is not known.
    """
    segments: list[Segment] = []
    allowance, room = cpio.Allowance(), compression.EXPANDED_LIMIT
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = _skip_zeros(file, 0)
        while offset < size:
            file.seek(offset)
            start = file.read(6)
            if start in cpio.MAGICS:
                entries = tuple(cpio.read_entries(file, offset, allowance))
                # With the zeros after it: tools that list an initramfs count in blocks of 512 bytes.
                segments.append(Segment(offset, _skip_zeros(file, entries[-1].end), None, path, entries))
            else:
                kind = compression.kind_of(start)
                if kind is None:
                    raise ArchiveError(f"unknown data at offset {offset}")
                expanded = directory / f"{path.name}.{len(segments)}"
                end = compression.expand(kind, file, offset, expanded, room)
                room -= expanded.stat().st_size
                segments.append(Segment(offset, end, kind, expanded, tuple(_all_entries(expanded, allowance))))
            offset = _skip_zeros(file, segments[-1].end)
    if not segments:
        raise ArchiveError("it is empty")
    return Image(path, tuple(segments))


def write_image(image: Image, target: Path, files: Mapping[str, bytes]) -> None:
    """Write the image anew with other or more files; everything else stays as it is, its compression included.

    :raises ArchiveError: it cannot be done with such an image.
    """
    main = _main_segment(image)
    with image.path.open("rb") as source, target.open("w+b") as out:
        for segment in image.segments:
            # The kernel wants 4 bytes; cpio makes blocks of 512, and tools that list an initramfs count in them.
            out.write(b"\0" * (-out.tell() % 512))
            if segment is not main:
                out.writelines(_chunks(source, segment.start, segment.end))
            elif segment.kind is None:
                out.writelines(_changed(segment, files))
            else:
                compression.compress(segment.kind, _changed(segment, files), out)


def _main_segment(image: Image) -> Segment:
    mains = [segment for segment in image.segments if any(_plain(entry.name) == "init" for entry in segment.entries)]
    if not mains:
        raise ArchiveError("there is no /init in it")
    return mains[-1]


def _changed(segment: Segment, files: Mapping[str, bytes]) -> Iterator[bytes]:
    """Give the archive of a segment without the old files and with the new ones."""
    length = 0
    known = {_plain(entry.name) for entry in segment.entries}
    linked = {_plain(entry.name) for entry in segment.entries if entry.links > 1 and entry.is_regular}
    if linked & set(files):
        raise ArchiveError(f"{sorted(linked & set(files))[0]} in it is a hard link")
    with segment.expanded.open("rb") as file:
        for entry in segment.entries:
            if entry.name != cpio.TRAILER and _plain(entry.name) not in files:
                for chunk in _chunks(file, entry.start, entry.end):
                    length += len(chunk)
                    yield chunk
    # Numbers that no cpio gives: the kernel takes files of the same number for hard links.
    number = 0x70000000
    for name, data in files.items():
        parts = name.split("/")
        parents = ["/".join(parts[: depth + 1]) for depth in range(len(parts) - 1)]
        for parent in parents:
            if parent not in known:
                known.add(parent)
                number += 1
                chunk = cpio.directory_entry(parent, number=number)
                length += len(chunk)
                yield chunk
        number += 1
        chunk = cpio.file_entry(name, data, number=number)
        length += len(chunk)
        yield chunk
    yield cpio.trailer(length)


def _all_entries(path: Path, allowance: cpio.Allowance) -> Iterator[Entry]:
    """Read all the archives in an expanded file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = _skip_zeros(file, 0)
        while offset < size:
            for entry in cpio.read_entries(file, offset, allowance):
                yield entry
                offset = entry.end
            offset = _skip_zeros(file, offset)


def _skip_zeros(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    while chunk := file.read(_CHUNK):
        rest = chunk.lstrip(b"\0")
        if rest:
            return offset + len(chunk) - len(rest)
        offset += len(chunk)
    return offset


def _chunks(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    while start < end:
        chunk = file.read(min(_CHUNK, end - start))
        if not chunk:
            # Only the padding of the last entry may be missing.
            if end - start > 3:
                raise ArchiveError("the archive ends too early")
            chunk = b"\0" * (end - start)
        start += len(chunk)
        yield chunk


def _plain(name: str) -> str:
    return name.removeprefix("./").removeprefix("/")
