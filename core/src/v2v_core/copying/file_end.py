# SPDX-License-Identifier: GPL-2.0-or-later
"""A local raw image or block device as one end of a copy: read, written, zeroed, and cloned where that is possible."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import struct
from pathlib import Path

#: Bytes of zeros that are written at once where nothing else works.
_ZEROS = bytes(1024 * 1024)
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
        while done < len(data):
            done += os.pwrite(self.descriptor, data[done:], offset + done)

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

    def copy(self, source: FileEnd, offset: int, length: int) -> bool:
        """Let the kernel copy a range of another file; return whether it can."""
        done = 0
        while done < length:
            try:
                count = os.copy_file_range(
                    source.descriptor, self.descriptor, length - done, offset + done, offset + done
                )
            except OSError as err:
                if err.errno in _CANNOT and not done:
                    return False
                raise
            if not count:
                raise OSError(errno.EIO, f"it ends at byte {offset + done}", str(source.path))
            done += count
        return True

    def flush(self) -> None:
        """Make durable what was written."""
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


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
