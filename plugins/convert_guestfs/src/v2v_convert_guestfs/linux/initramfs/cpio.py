# SPDX-License-Identifier: GPL-2.0-or-later
"""The cpio format that the kernel unpacks ("newc"): read the table of an archive, write entries.

A header is the magic 070701 and 13 numbers of 8 hexadecimal digits; header with name, and data, are padded to 4 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
_HEADER = 110
_NAME_LIMIT = 4096
#: What the tables of one image may have; the largest of distributions have 20 000 files.
_ENTRY_LIMIT, _ALL_NAMES_LIMIT = 100_000, 16 * 1024 * 1024
#: Bytes of a file that is read as a whole: a module has a few hundred kilobytes.
CONTENT_LIMIT = 32 * 1024 * 1024
REGULAR = 0o100000
_SYMLINK, _DIRECTORY = 0o120000, 0o040000


class ArchiveError(Exception):
    """It is no archive that this module understands, or a damaged one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; the offsets count from the beginning of the file that the archive is in.

    :param start: of the header. :param data: of the content, of ``size`` bytes. :param end: of the padding.
    :param inode: its number with that of the device; hard links of each other have the same, and only the last of
        them, or the first, has the content.
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
        """Tell whether it is a regular file."""
        return self.mode & 0o170000 == REGULAR

    @property
    def is_directory(self) -> bool:
        """Tell whether it is a directory."""
        return self.mode & 0o170000 == _DIRECTORY

    @property
    def is_symlink(self) -> bool:
        """Tell whether it is a symbolic link; its target is its content."""
        return self.mode & 0o170000 == _SYMLINK


@dataclass
class Allowance:
    """What may still be read of the tables of an image, which are kept in memory."""

    entries: int = _ENTRY_LIMIT
    names: int = _ALL_NAMES_LIMIT

    def spend(self, name: bytes) -> None:
        """Take one entry into account.

        :raises ArchiveError: it is one too many.
        """
        self.entries -= 1
        self.names -= len(name)
        if self.entries < 0 or self.names < 0:
            raise ArchiveError("there are too many entries")


def read_entries(file: BinaryIO, offset: int, allowance: Allowance | None = None) -> Iterator[Entry]:
    """Read the table of the archive at an offset, up to its trailer, which is the last entry given.

    :param allowance: of the whole image, if it has more archives.
    :raises ArchiveError: it is damaged or ends too early.
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
    """Give all the names of each file that has more than one, by the offset of each of them."""
    groups: dict[tuple[int, tuple[int, int, int]], list[Entry]] = {}
    archive = 0
    for entry in entries:
        if entry.name == TRAILER:
            # What comes after it has numbers of its own.
            archive += 1
        elif entry.is_regular and entry.links > 1:
            groups.setdefault((archive, entry.inode), []).append(entry)
    return {entry.start: tuple(group) for group in groups.values() if len(group) > 1 for entry in group}


def content(file: BinaryIO, entry: Entry, limit: int = CONTENT_LIMIT) -> bytes:
    """Read the content of an entry.

    :raises ArchiveError: the archive ends too early, or the content is longer than limit (bytes).
    """
    if entry.size > limit:
        raise ArchiveError(f"{entry.name} has {entry.size} bytes, which are too many")
    file.seek(entry.data)
    data = file.read(entry.size)
    if len(data) != entry.size:
        raise ArchiveError(f"the archive ends inside {entry.name}")
    return data


def file_entry(name: str, data: bytes, *, number: int, mode: int = 0o644) -> bytes:
    """Make the entry of a regular file, root's own. Each needs a number (inode) of its own."""
    return _entry(name, data, number=number, mode=REGULAR | mode, links=1)


def directory_entry(name: str, *, number: int) -> bytes:
    """Make the entry of a directory, root's own."""
    return _entry(name, b"", number=number, mode=_DIRECTORY | 0o755, links=2)


def entry(name: str, data: bytes, *, number: int, mode: int, links: int = 1) -> bytes:
    """Make an entry of any type but a device, root's own.

    :param mode: with the type in it. :param data: the content of a file, or the target of a link.
    """
    return _entry(name, data, number=number, mode=mode, links=2 if mode & 0o170000 == _DIRECTORY else links)


def trailer(length: int) -> bytes:
    """Make the end of an archive that is ``length`` bytes long so far, padded to 512 bytes as cpio does."""
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
