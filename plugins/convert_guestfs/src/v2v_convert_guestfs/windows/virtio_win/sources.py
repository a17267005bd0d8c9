# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the files of virtio-win on the host, from its ISO or from a directory, without the guest's appliance."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

#: The real ISO has some 4000 files and no file of more than 100 MiB.
MOST_FILES = 100_000
LARGEST_FILE = 256 * 1024 * 1024
_MOST_DIRECTORIES = 20_000


class UnreadableError(Exception):
    """Virtio-win is there but cannot be read; the text says why."""


class Source(Protocol):
    """Where the files of virtio-win are."""

    @property
    def place(self) -> Path:
        """The ISO or the directory."""

    @property
    def files(self) -> dict[str, int]:
        """Sizes of the files by their paths, such as ``viostor/w10/amd64/viostor.sys``."""

    def read(self, path: str) -> bytes:
        """Read a file.

        :raises UnreadableError: it cannot be read.
        """

    def close(self) -> None:
        """Close the files that are open for it."""


class DirectorySource:
    """A directory. Links are followed as long as they stay in it."""

    def __init__(self, place: Path) -> None:
        """List the files.

        :raises UnreadableError: the directory cannot be read.
        """
        self.place = place
        try:
            self._root = place.resolve(strict=True)
            self.files = dict(self._list())
        except (OSError, RuntimeError) as err:
            raise UnreadableError(_brief(err)) from err

    def _list(self) -> Iterator[tuple[str, int]]:
        todo, seen, count = [("", self._root)], {self._root}, 0
        while todo:
            path, directory = todo.pop()
            for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
                count += 1
                if count > MOST_FILES:
                    raise UnreadableError(f"there are more than {MOST_FILES} files in it, so it cannot be virtio-win")
                name = f"{path}/{entry.name}" if path else entry.name
                target = Path(entry.path).resolve() if entry.is_symlink() else Path(directory, entry.name)
                if not target.is_relative_to(self._root):
                    continue
                if target.is_dir() and target not in seen and len(seen) < _MOST_DIRECTORIES:
                    seen.add(target)
                    todo.append((name, target))
                elif target.is_file():
                    yield name, target.stat().st_size

    def read(self, path: str) -> bytes:
        """Read a file."""
        try:
            return _bounded((self._root / path).read_bytes, self.files[path], path)
        except OSError as err:
            raise UnreadableError(f"{path}: {_brief(err)}") from err

    def close(self) -> None:
        """Do nothing: no file stays open."""


class IsoSource:
    """An ISO image, by its Joliet names, its Rock Ridge names, or its plain names."""

    def __init__(self, place: Path) -> None:
        """List the files.

        :raises UnreadableError: it is no ISO image, or a damaged one.
        """
        import pycdlib

        self.place = place
        self._iso: Any = pycdlib.PyCdlib()
        self._paths: dict[str, str] = {}
        self._kind = "iso_path"
        try:
            self._file = place.open("rb")
        except OSError as err:
            raise UnreadableError(_brief(err)) from err
        try:
            self._iso.open_fp(self._file)
            if self._iso.has_joliet() or self._iso.has_rock_ridge():
                self._kind = "joliet_path" if self._iso.has_joliet() else "rr_path"
            self.files = dict(self._list())
        except (pycdlib.pycdlibexception.PyCdlibException, *_DAMAGED) as err:
            self.close()
            raise UnreadableError(f"it is no ISO image, or a damaged one ({_brief(err)})") from err
        except UnreadableError:
            self.close()
            raise

    def close(self) -> None:
        """Close the image."""
        self._file.close()

    def _list(self) -> Iterator[tuple[str, int]]:
        count = 0
        for directory, _, names in self._iso.walk(**{self._kind: "/"}):
            for name in names:
                count += 1
                if count > MOST_FILES:
                    raise UnreadableError(f"there are more than {MOST_FILES} files in it, so it cannot be virtio-win")
                inside = f"{directory.rstrip('/')}/{name}"
                record = self._iso.get_record(**{self._kind: inside})
                # A link has no content. The plain names end with a version.
                if record.is_file() and not (record.rock_ridge is not None and record.rock_ridge.is_symlink()):
                    path = inside.lstrip("/") if self._kind != "iso_path" else inside.lstrip("/").split(";")[0]
                    self._paths[path] = inside
                    yield path, int(record.get_data_length())

    def read(self, path: str) -> bytes:
        """Read a file."""
        import pycdlib

        def content() -> bytes:
            written = io.BytesIO()
            self._iso.get_file_from_iso_fp(written, **{self._kind: self._paths[path]})
            return written.getvalue()

        try:
            return _bounded(content, self.files[path], path)
        except (pycdlib.pycdlibexception.PyCdlibException, *_DAMAGED) as err:
            raise UnreadableError(f"{path} in it cannot be read ({_brief(err)})") from err


#: What pycdlib raises, in addition to its own exceptions, for an image that is damaged.
_DAMAGED = (
    OSError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)


def _bounded(read: Any, size: int, path: str) -> bytes:
    if size > LARGEST_FILE:
        raise UnreadableError(f"{path} in it has {size} bytes, more than {LARGEST_FILE}")
    data = bytes(read())
    if len(data) != size:
        raise UnreadableError(f"{path} in it is cut off: {len(data)} bytes of {size}")
    return data


def _brief(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
