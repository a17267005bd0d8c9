# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a Windows guest: paths without case, the access rights of what is written, programs from the host."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from v2v_convert_guestfs.appliance import Handle, brief
from v2v_convert_guestfs.files import CONFIGURATION_LIMIT, read_content
from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.access_rights import other_writers
from v2v_core.api import ConversionError

#: How many names of a directory are looked at, and how many bytes of them. ``WinSxS`` has some 15,000.
_NAMES_LIMIT = 20_000
_NAMES_BYTES = 8 * 1024 * 1024

#: Bytes: longer contents go to the guest as a transfer and not in one message.
_MESSAGE_LIMIT = 2 * 1024 * 1024

#: The mode of what is written. NTFS-3G makes of it access rights with which only administrators and the system, which
#: are root to it, can write, and everybody can read and run it; see ``mounts``.
_OTHERS_READ = 0o755

_FULL = "look for a full file system, and check the disk with chkdsk at the source"


class WindowsFiles:
    """The files of the mounted guest. Paths are of the appliance (``/Windows/System32``), in any capitals."""

    def __init__(self, session: Session) -> None:
        """Use the guest that the session's appliance has mounted."""
        self._session = session
        #: Paths by what they are in lower case, as far as they were looked up.
        self._spelt: dict[str, str] = {}

    @property
    def _handle(self) -> Handle:
        return self._session.handle

    def find(self, path: str) -> str | None:
        """Return the path as the guest spells it, or None if nothing is there."""
        plain = f"/{'/'.join(part for part in path.split('/') if part)}"
        try:
            # case_sensitive_path takes fifty times as long
            for spelt in (plain, self._spelt.get(plain.lower())):
                if spelt is not None and self._handle.exists(spelt):
                    return spelt
            found = str(self._handle.case_sensitive_path(plain))
            if not self._handle.exists(found):
                return None
        except (RuntimeError, UnicodeDecodeError) as err:
            self._session.report.debug(f"{path} in the guest: {brief(err)}")
            return None
        self._spelt[plain.lower()] = found
        return found

    def is_file(self, path: str) -> bool:
        """Return whether there is a regular file."""
        found = self.find(path)
        return found is not None and self._is(found, directory=False)

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; of very many only the first, with a warning."""
        found = self.find(directory)
        if found is None or not self._is(found, directory=True):
            return ()
        try:
            names = self._names(found)
        except RuntimeError as err:
            self._warn(f"{directory} in the guest cannot be listed", err)
            return ()
        if len(names) > _NAMES_LIMIT:
            self._session.report.warning(
                f"{directory} in the guest has {len(names)} entries; only {_NAMES_LIMIT} are looked at"
            )
        return tuple(names[:_NAMES_LIMIT])

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None."""
        found = self.find(path)
        if found is None or not self._is(found, directory=False):
            return None
        try:
            return int(self._handle.filesize(found))
        except RuntimeError as err:
            self._warn(f"{path} in the guest is left alone", err)
            return None

    def read(self, path: str, *, limit: int = CONFIGURATION_LIMIT) -> bytes | None:
        """Read a file; return None if there is none, it cannot be read, or it is longer than ``limit`` (a warning)."""
        found = self.find(path)
        size = None if found is None else self.size(found)
        if found is None or size is None:
            return None
        if size > limit:
            self._session.report.warning(
                f"{path} in the guest is left alone: {size} bytes are too many for such a file"
            )
            return None
        return self._read(found, size)

    def read_start(self, path: str, count: int) -> bytes | None:
        """Read at most the first ``count`` bytes of a file of any size; None if there is none or it cannot be read."""
        found = self.find(path)
        size = None if found is None else self.size(found)
        return None if found is None or size is None else self._read(found, min(size, count))

    def create(self, path: str, content: bytes | Path, *, why: str, private: bool = False) -> None:
        """Write a file and its directories, or replace one. New ones get the access rights of the directory above.

        :param content: bytes, or a file of the host. :param private: only administrators and the system may write it
            and what is in it, whatever the directory above allows.
        :raises ConversionError: it cannot be written.
        """
        temporary = ""
        try:
            old = self.find(path)
            if old is not None and not self._is(old, directory=False):
                raise ConversionError(f"{path} in the guest cannot be written: it is not a regular file")
            above, _, name = (old or path).rpartition("/")
            directory = self._make_directories(above)
            temporary = str(self._handle.mktemp(f"{directory}/v2v-XXXXXX"))
            self._write(temporary, content)
            target = old or f"{directory}/{name}"
            self._put(temporary, target, new=old is None)
            if private:
                self._protect(directory, target)
        except (RuntimeError, OSError) as err:
            if temporary:
                with suppress(RuntimeError):
                    self._handle.rm_f(temporary)
            raise ConversionError(f"{path} in the guest cannot be written: {brief(err)}", hint=_FULL) from err
        self._session.changed(target, "created" if old is None else "replaced", why)

    def _put(self, temporary: str, target: str, *, new: bool) -> None:
        """Make a written file the target. An existing one keeps its access rights and attributes.

        :raises RuntimeError: libguestfs's.
        """
        if new:
            self._handle.chmod(_OTHERS_READ, temporary)
            self._handle.rename(temporary, target)
        else:
            self._handle.cp(temporary, target)
            self._handle.rm_f(temporary)

    def _protect(self, directory: str, target: str) -> None:
        """Let only administrators and the system write a file and its directory, and check that it is so.

        :raises RuntimeError: libguestfs's. :raises ConversionError: other users can still write them.
        """
        for path in (directory, target):
            self._handle.chown(0, 0, path)
            self._handle.chmod(_OTHERS_READ, path)
            try:
                descriptor = bytes(self._handle.getxattr(path, "system.ntfs_acl"))
            except RuntimeError as err:
                self._warn(f"the access rights of {path} in the guest cannot be checked", err)
                continue
            writers = other_writers(descriptor)
            if writers:
                raise ConversionError(
                    f"{path} in the guest could be changed by others than administrators ({', '.join(writers)}), "
                    "and the conversion cannot change its access rights",
                    hint="remove this file or directory at the source",
                )

    def remove(self, path: str, *, why: str) -> bool:
        """Remove a file, or a directory with all that is in it; return whether there was one."""
        found = self.find(path)
        if found is None or not found.strip("/"):
            return False
        try:
            if self._is(found, directory=True):
                self._handle.rm_rf(found)
            else:
                self._handle.rm_f(found)
        except RuntimeError as err:
            self._warn(f"{path} in the guest cannot be removed", err)
            return False
        self._session.changed(found, "removed", why)
        return True

    def _is(self, found: str, *, directory: bool) -> bool:
        ask = self._handle.is_dir if directory else self._handle.is_file
        try:
            return bool(ask(found))
        except RuntimeError as err:
            self._warn(f"{found} in the guest is left alone", err)
            return False

    def _names(self, directory: str) -> list[str]:
        """Return the sorted names that are UTF-8.

        :raises RuntimeError: libguestfs's.
        """
        try:
            return sorted(str(name) for name in self._handle.ls(directory))
        except UnicodeDecodeError:
            pass
        with tempfile.TemporaryDirectory(prefix="names-", dir=self._session.request.temporary) as place:
            listing = Path(place, "names")
            self._handle.ls0(directory, str(listing))
            with listing.open("rb") as file:
                raw = file.read(_NAMES_BYTES).split(b"\0")
        names = [name.decode("utf-8", "replace") for name in raw if name]
        self._session.report.warning(f"{directory} in the guest has names that are not text: they are passed over")
        return sorted(name for name in names if "\N{REPLACEMENT CHARACTER}" not in name)

    def _read(self, path: str, size: int) -> bytes | None:
        try:
            return read_content(self._handle, path, size)[:size]
        except RuntimeError as err:
            self._warn(f"{path} in the guest cannot be read", err)
            return None

    def _make_directories(self, path: str) -> str:
        """Create a directory and those above it; return its path as the guest spells it.

        :raises RuntimeError: libguestfs's.
        """
        if not path.strip("/"):
            return ""
        found = self.find(path)
        if found is not None:
            return found.rstrip("/")
        above, _, name = path.rpartition("/")
        new = f"{self._make_directories(above)}/{name}"
        self._handle.mkdir(new)
        return new

    def _write(self, path: str, content: bytes | Path) -> None:
        """Write a file in the guest.

        :raises RuntimeError: libguestfs's. :raises OSError: the host's file cannot be read.
        """
        if isinstance(content, Path):
            self._handle.upload(str(content), path)
        elif len(content) <= _MESSAGE_LIMIT:
            self._handle.write(path, content)
        else:
            with tempfile.NamedTemporaryFile(prefix="upload-", dir=self._session.request.temporary) as file:
                file.write(content)
                file.flush()
                self._handle.upload(file.name, path)

    def _warn(self, what: str, err: BaseException) -> None:
        self._session.report.warning(f"{what}: {brief(err)}")
