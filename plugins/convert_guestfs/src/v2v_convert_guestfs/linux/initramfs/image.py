# SPDX-License-Identifier: GPL-2.0-or-later
"""An initramfs on the host: a sequence of archives, each compressed or not. Later files replace earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

from v2v_convert_guestfs.linux.initramfs import compression, cpio
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError, Entry

_CHUNK = 1024 * 1024
#: The longest chain of links, as in the kernel.
_LINKS_LIMIT = 40


@dataclass(frozen=True)
class Segment:
    """One archive of the image, or several that are compressed together, from offset ``start`` to ``end``.

    :param kind: the compression, or None.
    :param expanded: the file on the host that the offsets of ``entries`` refer to.
    """

    start: int
    end: int
    kind: str | None
    expanded: Path
    entries: tuple[Entry, ...]

    @cached_property
    def hard_links(self) -> Mapping[int, tuple[Entry, ...]]:
        """Return the hard links of each file that has more than one name, by the offset of each link."""
        return cpio.hard_links(self.entries)

    def content(self, file: BinaryIO, entry: Entry, limit: int = cpio.CONTENT_LIMIT) -> bytes:
        """Return the content of an entry, whichever of its hard links has it.

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
        """Return what the kernel has after unpacking: the last entry of each name."""
        return self._table

    @cached_property
    def _table(self) -> Mapping[str, tuple[Segment, Entry]]:
        return {_plain(entry.name): (segment, entry) for segment in self.segments for entry in segment.entries}

    def read(self, name: str, limit: int = cpio.CONTENT_LIMIT) -> bytes | None:
        """Return the content of a regular file, or None if there is no such file.

        :raises ArchiveError: the image is damaged, or the file is longer than limit (bytes).
        """
        located = self.entries().get(name)
        return self.content(name, limit) if located is not None and located[1].is_regular else None

    def content(self, name: str, limit: int = cpio.CONTENT_LIMIT) -> bytes | None:
        """Return the content of a regular file or the target of a symbolic link, or None if it is neither.

        :raises ArchiveError: the image is damaged, or the content is longer than limit (bytes).
        """
        located = self.entries().get(name)
        if located is None or not (located[1].is_regular or located[1].is_symlink):
            return None
        with located[0].expanded.open("rb") as file:
            return located[0].content(file, located[1], limit)

    def resolve(self, name: str) -> str | None:
        """Return the name of the regular file that a name leads to, through links; None if it leads to no such file.

        :raises ArchiveError: the image is damaged.
        """
        for _ in range(_LINKS_LIMIT):
            try:
                name = self.place(name)
            except ArchiveError:
                return None
            located = self.entries().get(name)
            if located is None or not (located[1].is_symlink or located[1].is_regular):
                return None
            if located[1].is_regular:
                return name
            target = (self.content(name) or b"").decode("utf-8", "surrogateescape")
            name = target.lstrip("/") if target.startswith("/") else f"{name.rpartition('/')[0]}/{target}"
        return None

    def place(self, name: str) -> str:
        """Return the name with the links in its directories resolved: ``usr/lib/a`` for ``lib/a`` if ``lib`` is a link.

        A directory entry with the name of a link would replace the link, and hide everything behind it.

        :raises ArchiveError: a file is in the place of a directory, or links form a loop.
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
            located = self.entries().get("/".join([*done, part]))
            if located is not None and located[1].is_symlink:
                links += 1
                target = (self.content("/".join([*done, part])) or b"").decode("utf-8", "surrogateescape")
                if links > _LINKS_LIMIT or not target:
                    raise ArchiveError(f"a link in the path {name} is empty or part of a loop")
                if target.startswith("/"):
                    done = []
                parts = [*target.split("/"), *parts]
            elif located is not None and not located[1].is_directory:
                raise ArchiveError(f"{part} in {name} is not a directory")
            else:
                done.append(part)
        return "/".join([*done, *parts])


def read_image(path: Path, directory: Path) -> Image:
    """Read the entries of an initramfs.

    :param directory: for files with the expanded content of compressed archives.
    :raises ArchiveError: the image is damaged, or of an unknown kind.
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
                # The zeros after the archive belong to it: tools that list an initramfs count in 512-byte blocks.
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
    """Write a copy of the image with changed, added, renamed and removed files. Everything else stays as it is.

    :param files: new contents, by the name before renaming. The content of an existing link is its target.
    :param moved: new names, by the old names. The new name "" removes a file.
    :raises ArchiveError: the image has no init, or cannot be read or compressed.
    """
    main = _main_segment(image)
    placed = {image.place(name): data for name, data in files.items()}
    with image.path.open("rb") as source, target.open("w+b") as out:
        for segment in image.segments:
            # The kernel requires an alignment of 4 bytes; tools that list an initramfs expect cpio's 512-byte blocks.
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
        raise ArchiveError("it contains no /init")
    return mains[-1]


def _changed(segment: Segment, files: Mapping[str, bytes], moved: Mapping[str, str]) -> Iterator[bytes]:
    """Yield the new archive of a segment: unchanged entries first, then the new ones and the trailer."""
    length = 0
    for chunk in _pieces(segment, files, moved):
        length += len(chunk)
        yield chunk
    yield cpio.trailer(length)


def _pieces(segment: Segment, files: Mapping[str, bytes], moved: Mapping[str, str]) -> Iterator[bytes]:
    old = {_plain(entry.name): entry for entry in segment.entries}
    changed = dict.fromkeys((*moved, *files))
    # dracut hard-links identical files. To change one of them, all are written as separate files.
    touched = [entry.start for entry in segment.entries if _plain(entry.name) in changed]
    groups = [segment.hard_links.get(start, ()) for start in touched]
    changed.update(dict.fromkeys(_plain(entry.name) for group in groups for entry in group))
    known = old.keys() - moved.keys()
    # Inode numbers that no cpio program assigns: the kernel treats files with the same number as hard links.
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
    """Yield the entries of all archives in an expanded file."""
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
