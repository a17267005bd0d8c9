# SPDX-License-Identifier: GPL-2.0-or-later
"""A local raw image or block device as one end of a copy: read, written, zeroed, and cloned where that is possible."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import os
import struct
import threading
from collections import deque
from pathlib import Path

#: Bytes of zeros that are written at once where nothing else works.
_ZEROS = bytes(1024 * 1024)
#: Bytes that are handed to the storage at once, and how many such windows it may be behind.
_WINDOW = 8 * 1024 * 1024
_WINDOWS = 8
#: SYNC_FILE_RANGE_WRITE of sync_file_range(2), and that with both of its SYNC_FILE_RANGE_WAIT flags.
_SYNC_WRITE, _SYNC_AND_WAIT = 2, 7
#: FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE and FALLOC_FL_ZERO_RANGE of fallocate(2).
_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10
#: FICLONERANGE of ioctl_ficlonerange(2): struct file_clone_range.
_CLONE_RANGE = 0x4020940D
_CLONE_ARGUMENTS = struct.Struct("=qQQQ")
#: What says that a file system cannot do it, as opposed to that it failed.
_CANNOT = frozenset(
    {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV, errno.ENOTTY, errno.EXDEV, errno.ETXTBSY}
)


class FileEnd:
    """An open image. Several threads may use it at once; all methods raise ``OSError``."""

    def __init__(self, path: Path, *, writable: bool) -> None:
        flags = os.O_RDWR if writable else os.O_RDONLY
        self.path = path
        self.descriptor = os.open(path, flags | os.O_CLOEXEC)
        if not writable:
            # the kernel reads further ahead
            with contextlib.suppress(OSError):
                os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        # the kernel lets one thread at a time write to a file; others would spend their processor on waiting for it
        self._lock = threading.Lock()
        self._windows = _Windows(self.descriptor)

    def read(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer."""
        done = 0
        while done < len(buffer):
            count = os.preadv(self.descriptor, [buffer[done:]], offset + done)
            if not count:
                raise OSError(errno.EIO, f"it ends at byte {offset + done}", str(self.path))
            done += count

    def write(self, offset: int, data: memoryview) -> None:
        """Write a buffer."""
        done = 0
        with self._lock:
            while done < len(data):
                done += os.pwrite(self.descriptor, data[done:], offset + done)
            old = self._windows.wrote(offset, len(data))
        self._windows.drop(old)

    def zero(self, offset: int, length: int, *, allocate: bool) -> None:
        """Make a range read as zeros.

        :param allocate: the zeros shall take their space.
        """
        mode = _KEEP_SIZE | (_ZERO_RANGE if allocate else _PUNCH_HOLE)
        if _fallocate(self.descriptor, mode, offset, length):
            return
        for at in range(offset, offset + length, len(_ZEROS)):
            self.write(at, memoryview(_ZEROS)[: min(len(_ZEROS), offset + length - at)])

    def clone(self, source: FileEnd, offset: int, length: int) -> bool:
        """Share the blocks of another file; return whether the file system can."""
        arguments = _CLONE_ARGUMENTS.pack(source.descriptor, offset, length, offset)
        try:
            fcntl.ioctl(self.descriptor, _CLONE_RANGE, arguments)
        except OSError as err:
            if err.errno in _CANNOT:
                return False
            raise
        return True

    def flush(self) -> None:
        """Make durable what was written."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


class _Windows:
    """Lets the kernel write to the storage while more is being copied, and drops from memory what is stored.

    Otherwise all of it is written at the end, while the copy waits, and a large disk pushes everything else out of the
    page cache, which costs more time than writing it. What the kernel cannot do is left undone: this is a matter of
    speed only.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._newest: list[tuple[int, int]] = []
        self._count = 0
        self._older: deque[list[tuple[int, int]]] = deque()

    def wrote(self, offset: int, length: int) -> list[tuple[int, int]]:
        """Take note of a write; return what should be stored by now. The caller holds the lock of the file."""
        self._newest.append((offset, length))
        self._count += length
        if self._count < _WINDOW:
            return []
        for at, count in self._newest:
            _sync_file_range(self._descriptor, at, count, _SYNC_WRITE)
        self._older.append(self._newest)
        self._newest, self._count = [], 0
        return self._older.popleft() if len(self._older) > _WINDOWS else []

    def drop(self, ranges: list[tuple[int, int]]) -> None:
        """Wait until ranges are stored, and drop them from the page cache."""
        for offset, length in ranges:
            _sync_file_range(self._descriptor, offset, length, _SYNC_AND_WAIT)
            with contextlib.suppress(OSError):
                os.posix_fadvise(self._descriptor, offset, length, os.POSIX_FADV_DONTNEED)


class Storing:
    """Has the kernel store what another program writes to a file, before that program flushes it.

    qemu flushes a qcow2 image each time that it makes a table, and all requests wait for that. Nothing fails here: this
    is a matter of speed only.
    """

    def __init__(self, path: Path | None) -> None:
        self._descriptor: int | None = None
        if path is not None:
            with contextlib.suppress(OSError):
                self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def go_on(self) -> None:
        """Hand to the storage what was written until now; do not wait for it."""
        if self._descriptor is not None:
            _sync_file_range(self._descriptor, 0, 0, _SYNC_WRITE)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _sync_file_range(descriptor: int, offset: int, length: int, flags: int) -> None:
    """Call sync_file_range(2), which Python does not have."""
    _libc().sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(length), flags)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _fallocate(descriptor: int, mode: int, offset: int, length: int) -> bool:
    """Call fallocate(2), which Python does not have; return whether the file system can do it.

    :raises OSError: it failed.
    """
    if _libc().fallocate(descriptor, mode, ctypes.c_int64(offset), ctypes.c_int64(length)) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number))
