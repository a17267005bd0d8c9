# SPDX-License-Identifier: GPL-2.0-or-later
"""The cpio format that the kernel unpacks ("newc"): read the entries of an archive, and write entries.

A header consists of the magic 070701 and 13 numbers of 8 hexadecimal digits. The header with the name and the data are
each padded to a multiple of 4 bytes. The format is specified in the kernel's buffer-format.rst (initramfs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
_HEADER = 110
_NAME_LIMIT = 4096
#: Limits on the entries of one image, and on the bytes of their names. The largest images have about 20 000 files.
_ENTRY_LIMIT, _ALL_NAMES_LIMIT = 100_000, 16 * 1024 * 1024
#: Bytes of a file that is read into memory. A module has a few hundred kilobytes.
CONTENT_LIMIT = 32 * 1024 * 1024
REGULAR = 0o100000
_SYMLINK, _DIRECTORY = 0o120000, 0o040000


class ArchiveError(Exception):
    """The archive is damaged, or of a kind that is not supported."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. Offsets are in bytes from the start of the file that contains the archive.

    :param size: the bytes of the content. :param start: the offset of the header.
    :param data: the offset of the content. :param end: the offset after the padding.
    :param inode: the inode number and the device number. Hard links of each other share it, and only the first or the
        last of them has the content.
    """

    name: str
    mode: int
    links: int
    size: int
    start: int
    data: int
    end: int
    inode: tuple[int, int, int] = (0, 0, 0)

    @property
    def is_regular(self) -> bool:
        """Return whether it is a regular file."""
        return self.mode & 0o170000 == REGULAR

    @property
    def is_directory(self) -> bool:
        """Return whether it is a directory."""
        return self.mode & 0o170000 == _DIRECTORY

    @property
    def is_symlink(self) -> bool:
        """Return whether it is a symbolic link. Its content is the target."""
        return self.mode & 0o170000 == _SYMLINK


@dataclass
class Allowance:
    """How many more entries of an image may be read, and how many bytes of names. All are kept in memory."""

    entries: int = _ENTRY_LIMIT
    names: int = _ALL_NAMES_LIMIT

    def spend(self, name: bytes) -> None:
        """Count one entry.

        :raises ArchiveError: the allowance is used up.
        """
        self.entries -= 1
        self.names -= len(name)
        if self.entries < 0 or self.names < 0:
            raise ArchiveError("there are too many entries")


def read_entries(file: BinaryIO, offset: int, allowance: Allowance | None = None) -> Iterator[Entry]:
    """Yield the entries of the archive at an offset. The last one is its trailer.

    :param allowance: shared by all archives of an image.
    :raises ArchiveError: the archive is damaged or ends too early.
    """
    allowance = allowance or Allowance()
    while True:
        file.seek(offset)
        header = file.read(_HEADER)
        if len(header) != _HEADER or header[:6] not in MAGICS:
            raise ArchiveError(f"no cpio header at offset {offset}")
        try:
            numbers = [int(header[6 + 8 * i : 14 + 8 * i], 16) for i in range(13)]
        except ValueError as err:
            raise ArchiveError(f"a damaged cpio header at offset {offset}") from err
        mode, links, size, name_size = numbers[1], numbers[4], numbers[6], numbers[11]
        if not 0 < name_size <= _NAME_LIMIT:
            raise ArchiveError(f"an impossible name at offset {offset}")
        name = file.read(name_size)
        if len(name) != name_size:
            raise ArchiveError("the archive ends too early")
        allowance.spend(name)
        data = _padded(offset + _HEADER + name_size)
        end = _padded(data + size)
        text = name.rstrip(b"\0").decode("utf-8", "surrogateescape")
        yield Entry(text, mode, links, size, offset, data, end, (numbers[0], numbers[7], numbers[8]))
        if text == TRAILER:
            return
        offset = end


def hard_links(entries: Iterable[Entry]) -> dict[int, tuple[Entry, ...]]:
    """Return the hard links of each file that has more than one name, by the offset of each link."""
    groups: dict[tuple[int, tuple[int, int, int]], list[Entry]] = {}
    archive = 0
    for entry in entries:
        if entry.name == TRAILER:
            # The next archive has its own inode numbers.
            archive += 1
        elif entry.is_regular and entry.links > 1:
            groups.setdefault((archive, entry.inode), []).append(entry)
    return {entry.start: tuple(group) for group in groups.values() if len(group) > 1 for entry in group}


def content(file: BinaryIO, entry: Entry, limit: int = CONTENT_LIMIT) -> bytes:
    """Return the content of an entry.

    :raises ArchiveError: the archive ends too early, or the content is longer than limit (bytes).
    """
    if entry.size > limit:
        raise ArchiveError(f"{entry.name} is too large: {entry.size} bytes")
    file.seek(entry.data)
    data = file.read(entry.size)
    if len(data) != entry.size:
        raise ArchiveError(f"the archive ends inside {entry.name}")
    return data


def file_entry(name: str, data: bytes, *, number: int, mode: int = 0o644) -> bytes:
    """Return the entry of a regular file owned by root.

    :param number: the inode number, which must be unique in the archive.
    """
    return _entry(name, data, number=number, mode=REGULAR | mode, links=1)


def directory_entry(name: str, *, number: int) -> bytes:
    """Return the entry of a directory owned by root."""
    return _entry(name, b"", number=number, mode=_DIRECTORY | 0o755, links=2)


def entry(name: str, data: bytes, *, number: int, mode: int, links: int = 1) -> bytes:
    """Return an entry owned by root, of any type except device.

    :param mode: the mode including the file type. :param data: the content of a file, or the target of a link.
    """
    return _entry(name, data, number=number, mode=mode, links=2 if mode & 0o170000 == _DIRECTORY else links)


def trailer(length: int) -> bytes:
    """Return the trailer of an archive of ``length`` bytes, with the padding to 512 bytes that cpio writes."""
    end = _entry(TRAILER, b"", number=0, mode=0, links=1)
    return end + b"\0" * (-(length + len(end)) % 512)


def _entry(name: str, data: bytes, *, number: int, mode: int, links: int) -> bytes:
    encoded = name.encode("utf-8", "surrogateescape") + b"\0"
    numbers = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
    header = MAGICS[0] + b"".join(b"%08X" % value for value in numbers) + encoded
    return _pad(header) + _pad(data)


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _padded(offset: int) -> int:
    return offset + -offset % 4
