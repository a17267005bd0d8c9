# SPDX-License-Identifier: GPL-2.0-or-later
"""Making files that belong to VDSM: user and group 36, whose names on a host of oVirt are vdsm and kvm.

A file server takes root for nobody (``root_squash``), unless it was told not to: root can then neither give a file
away nor write into a directory of VDSM's. So root becomes user 36 for the length of a system call, which is what an NFS
client tells the server. Where that is not allowed, the file is made as root and given away; where that does not work
either, it stays whose it is, and the user is told.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

UID = GID = 36
#: For everybody where it must stay with another owner: VDSM could not read it otherwise.
DISK_MODE = 0o660
DISK_MODE_OF_OTHERS = 0o666
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


class VdsmFiles:
    """A directory in which files of VDSM's are made and removed; names are relative to it.

    It is opened once: user 36 may not be allowed to come to it by its path, which leads through a directory that is
    private to this run.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._handle = -1

    def __enter__(self) -> VdsmFiles:
        # O_PATH: to go through it is enough, it may be that only VDSM may read it
        self._handle = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def can_make_files_in(self, name: str) -> bool:
        """Tell whether this process can make files in a directory, as user 36 or as who it is."""

        def ask() -> bool:
            return os.access(name, os.W_OK | os.X_OK, dir_fd=self._handle, effective_ids=True)

        with acting_as_vdsm():
            as_vdsm = ask()
        return as_vdsm or ask()

    def make_directory(self, name: str) -> None:
        """Make a directory.

        :raises OSError: it cannot be made.
        """
        _as_vdsm(lambda: os.mkdir(name, DIRECTORY_MODE, dir_fd=self._handle))
        handle = _as_vdsm(lambda: os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._handle))
        try:
            _give_away(handle)
            _as_vdsm(lambda: os.fchmod(handle, DIRECTORY_MODE))
        finally:
            os.close(handle)

    def open_new_disk(self, path: Path) -> int:
        """Make the file of a disk, which this process can open again; give its descriptor.

        :param path: absolute. :raises OSError: it cannot be made.
        """
        name = str(path.relative_to(self._root))
        handle = self._open_new(name, DISK_MODE)
        try:
            # the servers of the disk run as root, who is nobody on a server that squashes root
            os.close(os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._handle))
        except PermissionError:
            _as_vdsm(lambda: os.fchmod(handle, DISK_MODE_OF_OTHERS))
        return handle

    def write_file(self, name: str, data: bytes) -> None:
        """Make a file with this content, durable.

        :raises OSError: it cannot be written.
        """
        with os.fdopen(self._open_new(name, FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def finish_disk(self, name: str) -> int:
        """Make a disk durable, readable for whom it is for; give the number of bytes that it takes.

        :raises OSError: it cannot be read, or written out.
        """
        # read and write: an NFS client knows of errors only of what was opened for writing
        handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle)
        try:
            os.fsync(handle)
            found = os.fstat(handle)
            mode = DISK_MODE if _is_vdsms(found) else DISK_MODE_OF_OTHERS
            _as_vdsm(lambda: os.fchmod(handle, mode))
            return found.st_blocks * 512
        finally:
            os.close(handle)

    def rename(self, name: str, new: str) -> None:
        """Give a file another name.

        :raises OSError: it cannot have it.
        """
        _as_vdsm(lambda: os.rename(name, new, src_dir_fd=self._handle, dst_dir_fd=self._handle))

    def make_durable(self, name: str) -> None:
        """Write out which files a directory has.

        :raises OSError: it cannot be written out.
        """
        handle = _as_vdsm(lambda: os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._handle))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove_tree(self, name: str) -> None:
        """Remove a directory with all that is in it; nothing happens if it is not there.

        :raises OSError: it cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            _as_vdsm(lambda: shutil.rmtree(name, dir_fd=self._handle))

    def is_vdsms(self, name: str) -> bool:
        """Tell whether a file belongs to user and group 36."""
        return _is_vdsms(_as_vdsm(lambda: os.stat(name, dir_fd=self._handle, follow_symlinks=False)))

    def _open_new(self, name: str, mode: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = _as_vdsm(lambda: os.open(name, flags, mode, dir_fd=self._handle))
        try:
            _give_away(handle)
            # whatever the umask
            _as_vdsm(lambda: os.fchmod(handle, mode))
        except OSError:
            os.close(handle)
            raise
        return handle


@contextlib.contextmanager
def acting_as_vdsm() -> Iterator[None]:
    """Be user and group 36 to file systems, in this thread, if this process is root and may.

    Unlike seteuid(2), which concerns all threads of a process (credentials(7)), setfsuid(2) concerns one.
    """
    if os.geteuid() != 0:
        yield
        return
    import ctypes

    libc = ctypes.CDLL(None)
    group, user = os.getegid(), os.geteuid()
    libc.setfsgid(ctypes.c_uint(GID))
    libc.setfsuid(ctypes.c_uint(UID))
    try:
        yield
    finally:
        libc.setfsuid(ctypes.c_uint(user))
        libc.setfsgid(ctypes.c_uint(group))


def runs_as_vdsm() -> bool:
    """Tell whether what this process makes can belong to user and group 36."""
    return os.geteuid() == 0 or (os.geteuid(), os.getegid()) == (UID, GID)


def _as_vdsm(call: Callable[[], T]) -> T:
    """Call a function as user 36, and if it may not do that, as who this process is."""
    try:
        with acting_as_vdsm():
            return call()
    except PermissionError:
        return call()


def _give_away(handle: int) -> None:
    if not _is_vdsms(os.fstat(handle)):
        # only root may, and not everywhere; finalize says what was not possible
        with contextlib.suppress(OSError):
            os.fchown(handle, UID, GID)


def _is_vdsms(found: os.stat_result) -> bool:
    return (found.st_uid, found.st_gid) == (UID, GID)
