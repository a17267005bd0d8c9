# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs on the host: archives one after another, each compressed or not; later files replace earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from v2v_convert_guestfs.linux.initramfs import compression, cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError, Entry

_CHUNK = 1024 * 1024
#: Links in a row, as the kernel allows.
_LINKS_LIMIT = 40


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

    @cached_property
    def hard_links(self) -> Mapping[int, tuple[Entry, ...]]:
        """Give all the names of each file that has more than one, by the offset of each of them."""
        return cpio.hard_links(self.entries)

    def content(self, file: BinaryIO, entry: Entry, limit: int = cpio.CONTENT_LIMIT) -> bytes:
        """Read the content of an entry, wherever among its hard links it is.

        :raises ArchiveError: the archive ends too early, or the content is longer than limit (bytes).
        """
        group = self.hard_links.get(entry.start, (entry,))
        return cpio.content(file, max(group, key=lambda link: (link.size, link.start)), limit)


@dataclass(frozen=True)
class Image:
    """A whole initramfs."""

    path: Path
    segments: tuple[Segment, ...]

    def entries(self) -> Mapping[str, tuple[Segment, Entry]]:
        """Give what the kernel has after unpacking: the last of each name."""
        return self._table

    @cached_property
    def _table(self) -> Mapping[str, tuple[Segment, Entry]]:
        return {_plain(entry.name): (segment, entry) for segment in self.segments for entry in segment.entries}

    def read(self, name: str, limit: int = cpio.CONTENT_LIMIT) -> bytes | None:
        """Read a file of it, or give None.

        :raises ArchiveError: it is damaged, or the file is longer than limit (bytes).
        """
        found = self.entries().get(name)
        return self.content(name, limit) if found is not None and found[1].is_regular else None

    def content(self, name: str, limit: int = cpio.CONTENT_LIMIT) -> bytes | None:
        """Read a file of it, or the target of a link, or give None if it is neither.

        :raises ArchiveError: it is damaged, or the content is longer than limit (bytes).
        """
        found = self.entries().get(name)
        if found is None or not (found[1].is_regular or found[1].is_symlink):
            return None
        with found[0].expanded.open("rb") as file:
            return found[0].content(file, found[1], limit)

    def place(self, name: str) -> str:
        """Give the name without links in its directories: ``lib/a`` is ``usr/lib/a`` where ``lib`` is a link.

        A directory that is written over a link would take away everything behind the link.

        :raises ArchiveError: there is a file in the place of a directory, or links lead in a circle.
        """
        done: list[str] = []
        parts = name.split("/")
        links = 0
        while len(parts) > 1:
            part = parts.pop(0)
            if part in {"", "."}:
                continue
            if part == "..":
                done = done[:-1]
                continue
            found = self.entries().get("/".join([*done, part]))
            if found is not None and found[1].is_symlink:
                links += 1
                target = (self.content("/".join([*done, part])) or b"").decode("utf-8", "surrogateescape")
                if links > _LINKS_LIMIT or not target:
                    raise ArchiveError(f"a link of {name} leads nowhere")
                if target.startswith("/"):
                    done = []
                parts = [*target.split("/"), *parts]
            elif found is not None and not found[1].is_directory:
                raise ArchiveError(f"{part} in {name} is no directory")
            else:
                done.append(part)
        return "/".join([*done, *parts])


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


def write_image(image: Image, target: Path, files: Mapping[str, bytes], moved: Mapping[str, str] | None = None) -> None:
    """Write the image anew with other or more files; everything else stays as it is, its compression included.

    :param files: contents by name, by the old one if it is moved; of a link that is there already it is its target.
    :param moved: new names by the old ones; "" is for what goes.
    :raises ArchiveError: it cannot be done with such an image.
    """
    main = _main_segment(image)
    placed = {image.place(name): data for name, data in files.items()}
    with image.path.open("rb") as source, target.open("w+b") as out:
        for segment in image.segments:
            # The kernel wants 4 bytes; cpio makes blocks of 512, and tools that list an initramfs count in them.
            out.write(b"\0" * (-out.tell() % 512))
            if segment is not main:
                out.writelines(_chunks(source, segment.start, segment.end))
            elif segment.kind is None:
                out.writelines(_changed(segment, placed, moved or {}))
            else:
                compression.compress(segment.kind, _changed(segment, placed, moved or {}), out)


def _main_segment(image: Image) -> Segment:
    mains = [segment for segment in image.segments if any(_plain(entry.name) == "init" for entry in segment.entries)]
    if not mains:
        raise ArchiveError("there is no /init in it")
    return mains[-1]


def _changed(segment: Segment, files: Mapping[str, bytes], moved: Mapping[str, str]) -> Iterator[bytes]:
    """Give the archive of a segment without the old files and with the new ones."""
    length = 0
    for chunk in _pieces(segment, files, moved):
        length += len(chunk)
        yield chunk
    yield cpio.trailer(length)


def _pieces(segment: Segment, files: Mapping[str, bytes], moved: Mapping[str, str]) -> Iterator[bytes]:
    old = {_plain(entry.name): entry for entry in segment.entries}
    changed = dict.fromkeys((*moved, *files))
    # dracut makes hard links of files that are alike. One of them cannot be changed without the others: they are
    # written as files of their own.
    touched = [entry.start for entry in segment.entries if _plain(entry.name) in changed]
    groups = [segment.hard_links.get(start, ()) for start in touched]
    changed.update(dict.fromkeys(_plain(entry.name) for group in groups for entry in group))
    known = old.keys() - moved.keys()
    # Numbers that no cpio gives: the kernel takes files of the same number for hard links.
    number = 0x70000000
    with segment.expanded.open("rb") as file:
        for entry in segment.entries:
            if entry.name != cpio.TRAILER and _plain(entry.name) not in changed:
                yield from _chunks(file, entry.start, entry.end)
        for name in changed:
            before, place = old.get(name), moved.get(name, name)
            if not place or (before is None and name not in files):
                continue
            for parent in _parents(place):
                if parent not in known:
                    known.add(parent)
                    number += 1
                    yield cpio.directory_entry(parent, number=number)
            known.add(place)
            number += 1
            data = files[name] if before is None or name in files else segment.content(file, before)
            yield cpio.entry(place, data, number=number, mode=before.mode if before else cpio.REGULAR | 0o644)


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts) - 1)]


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
