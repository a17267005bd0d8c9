# SPDX-License-Identifier: GPL-2.0-or-later
"""Read and change files of the guest. A path may lead to anything: a link, a device, a gigabyte of zeros.

libguestfs resolves links inside the guest only. Type and size are checked before a file is read. A changed file is
written beside the old one, gets its attributes, and replaces it in one step.
"""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Callable
from pathlib import Path

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

#: Bytes: configuration files that people and installers write are smaller.
CONFIGURATION_LIMIT = 1024 * 1024

#: Bytes: half of the longest message in libguestfs's protocol.
_MESSAGE_LIMIT = 2 * 1024 * 1024

#: How many files that match a pattern are read, and how many bytes of a directory's names.
_GLOB_LIMIT = 500
_NAMES_LIMIT = 4 * 1024 * 1024

_MASKED = "/dev/null"
#: How the appliance, which has no locale, ends its message for ENOENT.
_MISSING = "No such file or directory"

Editor = Callable[[bytes], bytes]


def read_content(handle: Handle, path: str, size: int) -> bytes:
    """Read a regular file of ``size`` bytes.

    If it fits, it is read in one message: libguestfs's read_file makes a transfer, which takes a hundred times as long.

    :raises RuntimeError: libguestfs's.
    """
    if size > _MESSAGE_LIMIT:
        return bytes(handle.read_file(path))
    data = b""
    while len(data) < size and (more := bytes(handle.pread(path, size - len(data), len(data)))):
        data += more
    return data


class GuestFiles:
    """The files of the mounted guest."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._handle = session.handle

    def resolve(self, path: str) -> str | None:
        """Return the path with links resolved, or None if nothing is there; warn if it is not a regular file.

        A link to a missing file counts as nothing: aliases of units stay when their package is removed. So does one to
        ``/dev/null``: systemd's masked units are such links.
        """
        try:
            if not self._handle.exists(path):
                return None
            real = str(self._handle.realpath(path))
            if real == _MASKED:
                return None
            if self._handle.is_file(real, followsymlinks=False):
                return real
        except (RuntimeError, UnicodeDecodeError) as err:
            # libguestfs's exists() does not follow links, its realpath() does
            if str(err).endswith(_MISSING):
                return None
            self._session.report.warning(f"{path} in the guest is left alone: {brief(err)}")
            return None
        self._session.report.warning(f"{path} in the guest is left alone: it is not a regular file")
        return None

    def read(self, path: str, *, limit: int = CONFIGURATION_LIMIT) -> bytes | None:
        """Read a file; return None if there is none or it cannot be read; warn if it is over ``limit`` bytes long."""
        real = self.resolve(path)
        if real is None:
            return None
        try:
            size = int(self._handle.filesize(real))
            if size > limit:
                self._session.report.warning(
                    f"{path} in the guest is left alone: {size} bytes are too many for such a file"
                )
                return None
            return read_content(self._handle, real, size)
        except RuntimeError as err:
            self._session.report.warning(f"{path} in the guest cannot be read: {brief(err)}")
            return None

    def edit(self, path: str, editor: Editor, *, what: str, why: str) -> bool:
        """Edit a file and return whether that changed it. A file that does not exist is not created.

        :raises ConversionError: it cannot be written.
        """
        old = self.read(path)
        if old is None:
            return False
        new = editor(old)
        if new == old:
            return False
        self.replace(path, new, what=what, why=why)
        return True

    def replace(self, path: str, content: bytes, *, what: str, why: str) -> None:
        """Replace the content of an existing file; owner, mode, label and other attributes stay.

        :raises ConversionError: it cannot be written.
        """
        real = self.resolve(path)
        if real is None:
            raise ConversionError(f"{path} in the guest cannot be written: it is not a regular file")
        temporary = None
        try:
            temporary = self.temporary_beside(real)
            self._handle.write(temporary, content)
            self._handle.copy_attributes(real, temporary, all=True)
            self._handle.rename(temporary, real)
        except RuntimeError as err:
            self._discard(temporary)
            raise ConversionError(
                f"{path} in the guest cannot be written: {brief(err)}", hint="look for a full or read-only file system"
            ) from err
        self._session.changed(real, what, why)

    def create(self, path: str, content: bytes, *, mode: int, what: str, why: str) -> None:
        """Write a new file that belongs to root, and its directories; an existing file is replaced.

        :raises ConversionError: it cannot be written.
        """
        temporary = None
        try:
            self._make_directories(path.rpartition("/")[0])
            temporary = self.temporary_beside(path)
            self._handle.write(temporary, content)
            self._handle.chmod(mode, temporary)
            self._handle.rename(temporary, path)
        except RuntimeError as err:
            self._discard(temporary)
            raise ConversionError(
                f"{path} in the guest cannot be written: {brief(err)}", hint="look for a full or read-only file system"
            ) from err
        self._session.created.append(path)
        self._session.changed(path, what, why)

    def create_directory(self, path: str, *, mode: int, what: str, why: str) -> None:
        """Create a directory that belongs to root, and those above it; an existing one stays as it is.

        :raises ConversionError: it cannot be created.
        """
        try:
            if self._handle.is_dir(path):
                return
            self._make_directories(path)
            self._handle.chmod(mode, path)
        except RuntimeError as err:
            raise ConversionError(
                f"{path} in the guest cannot be created: {brief(err)}", hint="look for a full or read-only file system"
            ) from err
        self._session.changed(path, what, why)

    def link(self, target: str, path: str, *, what: str, why: str) -> None:
        """Create a symbolic link, and its directories; an existing file or link is replaced.

        :raises ConversionError: it cannot be created.
        """
        try:
            self._make_directories(path.rpartition("/")[0])
            self._handle.ln_sf(target, path)
        except RuntimeError as err:
            raise ConversionError(f"{path} in the guest cannot be created: {brief(err)}") from err
        self._session.created.append(path)
        self._session.changed(path, what, why)

    def remove(self, path: str, *, what: str, why: str) -> bool:
        """Remove a file or link and return whether there was one. A directory stays."""
        try:
            if self._handle.is_dir(path) or not (self._handle.exists(path) or self._handle.is_symlink(path)):
                return False
            self._handle.rm_f(path)
        except RuntimeError as err:
            self._session.warn(f"{path} in the guest cannot be removed", err)
            return False
        self._session.changed(path, what, why)
        return True

    def glob(self, pattern: str) -> list[str]:
        """List the paths that match, sorted, without the copies that package managers and editors leave.

        Names that are not UTF-8 are skipped, and so are all but the first of very many; each with a warning.
        """
        asides = (".dpkg-old", ".dpkg-new", ".dpkg-dist", ".dpkg-bak", ".rpmsave", ".rpmnew", ".bak", "~")
        try:
            found = [str(path) for path in self._handle.glob_expand(pattern)]
        except UnicodeDecodeError:
            found = self._readable_names(pattern)
        except RuntimeError as err:
            self._session.report.warning(f"{pattern} in the guest cannot be listed: {brief(err)}")
            return []
        found = sorted(path for path in found if not path.endswith(asides))
        if len(found) > _GLOB_LIMIT:
            self._session.report.warning(
                f"{len(found)} files in the guest match {pattern}: only {_GLOB_LIMIT} of them are read"
            )
        return found[:_GLOB_LIMIT]

    def _readable_names(self, pattern: str) -> list[str]:
        """List the paths that are UTF-8 and match a pattern with wildcards in its last part only."""
        directory, _, last = pattern.rpartition("/")
        try:
            with tempfile.TemporaryDirectory(prefix="names-", dir=self._session.request.temporary) as place:
                listing = Path(place, "names")
                self._handle.ls0(directory or "/", str(listing))
                with listing.open("rb") as file:
                    data = file.read(_NAMES_LIMIT)
        except RuntimeError as err:
            self._session.report.warning(f"{pattern} in the guest cannot be listed: {brief(err)}")
            return []
        found = []
        for raw in data.split(b"\0"):
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                self._session.report.warning(
                    f"{directory}/{raw.decode('utf-8', 'backslashreplace')} in the guest is left alone: "
                    "its name is not UTF-8"
                )
                continue
            if name and not (name.startswith(".") and not last.startswith(".")) and fnmatch.fnmatchcase(name, last):
                found.append(f"{directory}/{name}")
        return found

    def temporary_beside(self, path: str) -> str:
        """Create an empty file beside another, readable by root only, and return its path."""
        return str(self._handle.mktemp(f"{path}.v2v-XXXXXX"))

    def _make_directories(self, path: str) -> None:
        """Create a directory and those above it, and record the new ones in the session."""
        new: list[str] = []
        while path not in {"", "/"} and not self._handle.exists(path):
            new.insert(0, path)
            path = path.rpartition("/")[0]
        if new:
            self._handle.mkdir_p(new[-1])
            self._session.created += new

    def _discard(self, path: str | None) -> None:
        if path is not None:
            try:
                self._handle.rm_f(path)
            except RuntimeError as err:
                self._session.report.debug(f"{path} cannot be removed: {brief(err)}")
