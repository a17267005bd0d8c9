# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that belong to VDSM: to user and group 36, which are called vdsm and kvm on a host of oVirt.

By default an NFS server treats root as an unprivileged user (``root_squash``). Root can then neither change the owner
of a file nor write into a directory that belongs to VDSM. Therefore root becomes user 36 for the length of a system
call; the NFS client sends that user to the server. If user 36 is not permitted to create the file, root creates it and
changes its owner. If the owner cannot be changed either, the file keeps its owner and the user is warned.
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
DISK_MODE = 0o660
#: For a disk that does not belong to VDSM, which could not read it otherwise.
DISK_MODE_OF_OTHERS = 0o666
FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


class VdsmFiles:
    """A directory in which files that belong to VDSM are created and removed; names are relative to it.

    It is opened once and used by its descriptor: its path can lead through a directory that is private to this run and
    that user 36 may not enter.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._handle = -1

    def __enter__(self) -> VdsmFiles:
        # O_PATH needs no read permission, which only VDSM may have
        self._handle = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)

    def can_make_files_in(self, name: str) -> bool:
        """Check whether this process can create files in a directory, as user 36 or as its own user."""

        def ask() -> bool:
            return os.access(name, os.W_OK | os.X_OK, dir_fd=self._handle, effective_ids=True)

        with acting_as_vdsm():
            as_vdsm = ask()
        return as_vdsm or ask()

    def make_directory(self, name: str) -> None:
        """Create a directory.

        :raises OSError: the directory cannot be created.
        """
        _as_vdsm(lambda: os.mkdir(name, DIRECTORY_MODE, dir_fd=self._handle))
        handle = _as_vdsm(lambda: os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._handle))
        try:
            _give_to_vdsm(handle)
            _as_vdsm(lambda: os.fchmod(handle, DIRECTORY_MODE))
        finally:
            os.close(handle)

    def open_new_disk(self, path: Path) -> int:
        """Create the file of a disk, which this process can open again, and return its descriptor.

        :param path: absolute. :raises OSError: the file cannot be created.
        """
        name = str(path.relative_to(self._root))
        handle = self._open_new(name, DISK_MODE)
        try:
            # the NBD servers run as root, which the file server may treat as an unprivileged user
            os.close(os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._handle))
        except PermissionError:
            _as_vdsm(lambda: os.fchmod(handle, DISK_MODE_OF_OTHERS))
        return handle

    def write_file(self, name: str, data: bytes) -> None:
        """Create a file with this content, and sync it to the storage.

        :raises OSError: the file cannot be written.
        """
        with os.fdopen(self._open_new(name, FILE_MODE), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def finish_disk(self, name: str) -> int:
        """Sync a disk to the storage, set its final mode, and return the number of bytes that it occupies.

        :raises OSError: the disk cannot be opened or synced.
        """
        # opened for writing: an NFS client reports write errors only on such a descriptor
        handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._handle)
        try:
            os.fsync(handle)
            status = os.fstat(handle)
            mode = DISK_MODE if _is_vdsms(status) else DISK_MODE_OF_OTHERS
            _as_vdsm(lambda: os.fchmod(handle, mode))
            return status.st_blocks * 512
        finally:
            os.close(handle)

    def rename(self, name: str, new: str) -> None:
        """Rename a file.

        :raises OSError: the file cannot be renamed.
        """
        _as_vdsm(lambda: os.rename(name, new, src_dir_fd=self._handle, dst_dir_fd=self._handle))

    def make_durable(self, name: str) -> None:
        """Sync the entries of a directory to the storage.

        :raises OSError: the directory cannot be synced.
        """
        handle = _as_vdsm(lambda: os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._handle))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def remove_tree(self, name: str) -> None:
        """Remove a directory with its contents, if it exists.

        :raises OSError: the directory cannot be removed.
        """
        with contextlib.suppress(FileNotFoundError):
            _as_vdsm(lambda: shutil.rmtree(name, dir_fd=self._handle))

    def is_vdsms(self, name: str) -> bool:
        """Check whether a file belongs to user and group 36."""
        return _is_vdsms(_as_vdsm(lambda: os.stat(name, dir_fd=self._handle, follow_symlinks=False)))

    def _open_new(self, name: str, mode: int) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = _as_vdsm(lambda: os.open(name, flags, mode, dir_fd=self._handle))
        try:
            _give_to_vdsm(handle)
            # regardless of the umask
            _as_vdsm(lambda: os.fchmod(handle, mode))
        except OSError:
            os.close(handle)
            raise
        return handle


@contextlib.contextmanager
def acting_as_vdsm() -> Iterator[None]:
    """Make file systems see this thread as user and group 36, if the process is root and may change its user.

    setfsuid(2) applies to one thread. seteuid(2) would apply to all threads of the process (credentials(7)).
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
    """Check whether files that this process creates can belong to user and group 36."""
    return os.geteuid() == 0 or (os.geteuid(), os.getegid()) == (UID, GID)


def _as_vdsm(call: Callable[[], T]) -> T:
    """Call a function as user 36, and once more as the user of this process if user 36 is not permitted to."""
    try:
        with acting_as_vdsm():
            return call()
    except PermissionError:
        return call()


def _give_to_vdsm(handle: int) -> None:
    if not _is_vdsms(os.fstat(handle)):
        # only root may, and not on every file system; finalize warns of files that keep their owner
        with contextlib.suppress(OSError):
            os.fchown(handle, UID, GID)


def _is_vdsms(status: os.stat_result) -> bool:
    return (status.st_uid, status.st_gid) == (UID, GID)
