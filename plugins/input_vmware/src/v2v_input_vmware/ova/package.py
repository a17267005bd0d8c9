# SPDX-License-Identifier: GPL-2.0-or-later
"""Open an OVA: a directory, a tar file that is read in place, or an archive that has to be unpacked.

The result is the same for all of them: the files by their names, each a part of a file of this machine. A package must
not read or write anything else, nor fill the disk. Names that lead out of it, links, devices, duplicate names, sparse
members, and members that are larger than the free space are therefore refused.
"""

from __future__ import annotations

import gzip
import lzma
import os
import posixpath
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast
from urllib.parse import unquote

from v2v_core.api import TEMPORARY_HINT, SourceError, is_no_room, shortage
from v2v_input_vmware.ova.streams import Bounded, Budgeted, Readable, Window, Xz

#: The most bytes of a descriptor, a manifest or a certificate; and of a header of an archive.
SMALL = 4 * 1024 * 1024
_HEADER = 1024 * 1024
_MOST_FILES = 10_000
_CHUNK = 1024 * 1024
#: Bytes that stay free where an archive is unpacked.
_RESERVE = 64 * 1024 * 1024
#: An archive is not unpacked if it claims to hold more than this many times its size. Zeros shrink to a thousandth.
_RATIO = 2000
_NEVER = "an OVA must not have such a file: if the OVA is yours, pack it again with regular files only"


@dataclass(frozen=True)
class Part:
    """A file of the package: a part of a file of this machine. Size and offset are in bytes."""

    path: Path
    size: int
    offset: int | None = None

    def read_small(self) -> bytes:
        """Return the whole content of a descriptor or manifest.

        :raises SourceError: it is too large to be one.
        """
        if self.size > SMALL:
            raise SourceError(
                f"{self.path}: a descriptor or manifest of {self.size} bytes is too large",
                hint="export the guest again",
            )
        with self.open() as stream:
            return stream.read(self.size)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file at its first byte. The stream does not stop at its last byte."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset or 0)
            yield stream


@dataclass(frozen=True)
class Package:
    """The files of a package by their names (``dir/guest.ovf``).

    :param directory: the directory that is the package, in which disks may name extents; None for an archive.
    :param outside: names in the directory that are links out of it. They are not in ``files``.
    :param descriptor: the user named this descriptor in ``directory``, of which only it and its disks count.
    """

    origin: Path
    files: dict[str, Part] = field(default_factory=dict)
    directory: Path | None = None
    outside: set[str] = field(default_factory=set)
    descriptor: str | None = None

    @property
    def manifests(self) -> list[str]:
        """The names of the manifests."""
        if self.descriptor is None:
            return sorted(name for name in self.files if name.lower().endswith(".mf"))
        own = f"{self.descriptor[:-4]}.mf"
        # GUEST.OVF may have a GUEST.MF
        alike = [name for name in self.files if name[:-3] == own[:-3] and name[-3:].lower() == ".mf"]
        return [own] if own in alike else sorted(alike)

    def include(self, folder: str) -> None:
        """Add the files of a folder of the directory, without those of folders below it."""
        if self.directory is None or folder.startswith(("/", "..")):
            return
        try:
            names = sorted(os.listdir(self.directory / folder))  # noqa: PTH208 - no path of it is needed
        except OSError:
            # a disk that it should have is reported as missing
            return
        for name in names:
            self.add(posixpath.normpath(posixpath.join(folder, name)))

    def add(self, name: str) -> None:
        """Add a file of the directory, unless it is not a regular file. A link may not lead out of the directory."""
        if self.directory is None:
            return
        path = self.directory / name
        if not path.is_file():
            return
        if path.resolve().is_relative_to(self.directory.resolve()):
            self.files[name] = Part(path, path.stat().st_size)
        else:
            self.outside.add(name)

    def find(self, folder: str, reference: str) -> str | None:
        """Return the name of the file that a URI reference in a file of a folder means, or None.

        Programs that write descriptors and manifests do not agree on percent-encoding, nor on the Unicode form of
        names. The name as it is written comes first.
        """
        names = names_of_reference(folder, reference)
        for name in names:
            if name in self.files:
                return name
        normalized = {unicodedata.normalize("NFC", name) for name in names}
        alike = [name for name in self.files if unicodedata.normalize("NFC", name) in normalized]
        return alike[0] if len(alike) == 1 else None


def names_of_reference(folder: str, reference: str) -> list[str]:
    """Return the names that a URI reference (RFC 3986) can mean: as it is written, and percent-decoded."""
    return list(
        dict.fromkeys(posixpath.normpath(posixpath.join(folder, text)) for text in (reference, unquote(reference)))
    )


def open_package(path: Path, scratch: Path) -> Package:
    """Open an OVA.

    :param scratch: an empty directory for the files of an archive that cannot be read in place.
    :raises SourceError: it is not an OVA, is damaged, or has files that are refused.
    """
    try:
        if path.is_dir():
            return _directory(path)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SourceError(f"{path} is neither a file nor a directory", hint="name the .ova file or its directory")
        with path.open("rb") as stream:
            head = stream.read(512)
        if path.suffix.lower() == ".ovf" and _looks_like_xml(head):
            return _beside(path)
        if head[257:262] == b"ustar":
            return Package(path, _tar_in_place(path, status.st_size))
        if head.startswith(b"PK\x03\x04"):
            return Package(path, _unpacked_zip(path, scratch))
        if head.startswith(b"\x1f\x8b"):
            with path.open("rb") as raw, gzip.GzipFile(fileobj=raw) as stream:
                return Package(path, _unpacked_tar(path, scratch, stream))
        if head.startswith(b"\xfd7zXZ\0"):
            with path.open("rb") as raw:
                return Package(path, _unpacked_tar(path, scratch, Xz(raw)))
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError) as err:
        raise SourceError(
            f"{path} is damaged: {err}", hint="it was truncated or changed: export or download it again"
        ) from err
    except NotImplementedError as err:
        # zipfile raises it for a zip file of a newer version than it supports
        raise SourceError(
            f"{path} cannot be unpacked: {err}", hint="unpack it, and name the directory with -i ova"
        ) from err
    except OSError as err:
        if is_no_room(err):
            raise SourceError(f"{path} cannot be unpacked: {shortage(scratch)}", hint=TEMPORARY_HINT) from err
        if err.filename is None and not err.errno:
            # BadGzipFile has no errno
            raise SourceError(f"{path} is damaged: {err}", hint="export or download it again") from err
        raise SourceError(
            f"{err.filename or path}: {err.strerror or err}", hint="check the path, and that this user may read it"
        ) from err
    raise SourceError(
        f"{path} is not an OVA: it is neither a directory nor a tar, tar.gz, tar.xz or zip file",
        hint="name the .ova or .ovf file; for a single disk, use -i disk",
    )


def _looks_like_xml(head: bytes) -> bool:
    """Return whether a file begins as an XML document does, in UTF-8 or UTF-16."""
    # in UTF-16 every ASCII character has a zero byte
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0").startswith(b"<")


def _directory(path: Path) -> Package:
    """Return the regular files of a directory. Links may lead to them, but not out of the directory."""
    package = Package(path, directory=path)
    for below, directories, names in os.walk(path):
        directories.sort()
        for name in sorted(names):
            _count(package.files)
            package.add(Path(below, name).relative_to(path).as_posix())
    return package


def _beside(path: Path) -> Package:
    """Return the files in the directory of a descriptor. Those of other folders are included when it names them."""
    package = Package(path, directory=path.parent, descriptor=path.name)
    package.include("")
    return package


def _tar_in_place(path: Path, length: int) -> dict[str, Part]:
    """Read only the headers of a tar file."""
    files: dict[str, Part] = {}
    with path.open("rb") as stream, tarfile.TarFile(fileobj=cast("IO[bytes]", Bounded(stream, _HEADER))) as archive:
        for member in archive:
            name = _check_member(path, member, files)
            if name is None:
                continue
            if member.offset_data + member.size > length:
                raise SourceError(
                    f"{path} is truncated: {name} ends at byte {member.offset_data + member.size} of {length}",
                    hint="export or download it again",
                )
            files[name] = Part(path, member.size, member.offset_data)
    return files


def _check_member(path: Path, member: tarfile.TarInfo, files: dict[str, Part]) -> str | None:
    """Return the name of a member that is a file, or None for a directory.

    :raises SourceError: the member is of another kind, or its name leads out of the archive.
    """
    name = _check_name(path, member.name)
    if member.isdir():
        return None
    if member.issym() or member.islnk():
        raise SourceError(f"{path} contains a link, {name!r} to {member.linkname[:80]!r}", hint=_NEVER)
    if not member.isreg() or member.sparse is not None or _says_sparse(member):
        kind = "a sparse file" if member.isreg() else "a device or another special file"
        raise SourceError(f"{path} contains {kind}, {name!r}", hint=_NEVER)
    _check_new(path, name, files)
    return name


def _says_sparse(member: tarfile.TarInfo) -> bool:
    return any(key.startswith("GNU.sparse.") for key in member.pax_headers)


def _check_name(path: Path, name: str) -> str:
    clean = posixpath.normpath(name)
    if name.startswith("/") or clean.startswith("../") or clean == ".." or "\0" in name or not name:
        raise SourceError(f"{path} contains a file whose name leads outside, {name[:80]!r}", hint=_NEVER)
    return clean


def _check_new(path: Path, name: str, files: dict[str, Part]) -> None:
    _count(files)
    if name in files:
        raise SourceError(f"{path} contains two files of the name {name[:80]!r}", hint=_NEVER)


def _count(files: dict[str, Part]) -> None:
    if len(files) >= _MOST_FILES:
        raise SourceError(f"the OVA has more than {_MOST_FILES} files", hint="pack the files of the guest only")


def _unpacked_tar(path: Path, scratch: Path, stream: Readable) -> dict[str, Part]:
    """Unpack a compressed tar file. A member is refused before it is unpacked if there is no room for it."""
    files: dict[str, Part] = {}
    room = _Room(path, scratch)
    source = Budgeted(stream)
    source.allow(_HEADER)
    with tarfile.open(fileobj=cast("IO[bytes]", source), mode="r|") as archive:
        for member in archive:
            name = _check_member(path, member, files)
            if name is not None:
                room.take(name, member.size)
                source.allow(member.size + _HEADER)
                content = archive.extractfile(member)
                if content is None:
                    raise SourceError(f"{path}: {name!r} cannot be read", hint="export or download it again")
                files[name] = _write(content, scratch / f"file{len(files)}", member.size, f"{path}: {name}")
            source.allow(_HEADER)
    return files


def _unpacked_zip(path: Path, scratch: Path) -> dict[str, Part]:
    files: dict[str, Part] = {}
    room = _Room(path, scratch)
    with path.open("rb") as stream, zipfile.ZipFile(cast("IO[bytes]", Bounded(stream, SMALL))) as archive:
        for member in archive.infolist():
            name = _check_name(path, member.filename)
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in {0, stat.S_IFREG}:
                raise SourceError(f"{path} contains a link or a special file, {name!r}", hint=_NEVER)
            if member.flag_bits & 1 or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
                raise SourceError(
                    f"{path}: {name!r} is encrypted, or compressed with an unsupported method",
                    hint="pack it without a password, with the deflate method",
                )
            _check_new(path, name, files)
            room.take(name, member.file_size)
            with archive.open(member) as source:
                files[name] = _write(source, scratch / f"file{len(files)}", member.file_size, f"{path}: {name}")
    return files


class _Room:
    """The bytes that may still be unpacked. Zeros count, although they take no space on the disk."""

    def __init__(self, path: Path, scratch: Path) -> None:
        self._path, self._scratch = path, scratch
        self._free = room_in(scratch)
        self._left = min(self._free, path.stat().st_size * _RATIO + SMALL)

    def take(self, name: str, size: int) -> None:
        if size > self._left:
            why = (
                f"there is room for {self._left} bytes more in {self._scratch.parent}"
                if self._left <= self._free and self._path.stat().st_size * _RATIO > self._free
                else f"that is more than {_RATIO} times the size of the whole archive"
            )
            raise SourceError(
                f"{self._path}: {name} has {size} bytes when unpacked: {why}",
                hint="unpack the OVA and name its directory, or set VIRT_V2V_TMPDIR to a directory with more room; an "
                "uncompressed tar file is read in place",
            )
        self._left -= size


def _write(source: IO[bytes], target: Path, size: int, what: str) -> Part:
    """Write a member of an archive, of exactly this size, to a new file. Zeros become holes."""
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        left = size
        while left and (data := source.read(min(_CHUNK, left))):
            left -= len(data)
            if any(data):
                stream.write(data)
            else:
                stream.seek(len(data), os.SEEK_CUR)
        stream.truncate(size - left)
    if left:
        raise SourceError(f"{what} is truncated by {left} bytes", hint="export or download the OVA again")
    return Part(target, size)


def unpack_gzip(part: Part, target: Path, *, limit: int, what: str) -> Part:
    """Unpack a compressed disk.

    :param limit: the most bytes that it may have.
    :raises SourceError: it is damaged or larger.
    """
    written = 0
    try:
        with (
            part.open() as raw,
            gzip.GzipFile(mode="rb", fileobj=cast("IO[bytes]", Window(raw, part.size))) as source,
            os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream,
        ):
            while data := source.read(_CHUNK):
                written += len(data)
                if written > limit:
                    raise SourceError(
                        f"{what} has more than {limit} bytes when unpacked, which is more than the disk can need or "
                        "the free space allows",
                        hint="export the guest again, without compression",
                    )
                if any(data):
                    stream.write(data)
                else:
                    stream.seek(len(data), os.SEEK_CUR)
            stream.truncate(written)
    except (OSError, EOFError, zlib.error) as err:
        if is_no_room(err):
            raise SourceError(f"{what} cannot be unpacked: {shortage(target.parent)}", hint=TEMPORARY_HINT) from err
        raise SourceError(f"{what} cannot be unpacked: {err}", hint="export or download the OVA again") from err
    return Part(target, written)


def room_in(directory: Path) -> int:
    """Return the number of bytes that may be written to a directory."""
    return max(0, shutil.disk_usage(directory).free - _RESERVE)
