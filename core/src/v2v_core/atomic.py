# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are written whole or not at all, and that survive a crash of the machine once they are written."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from pathlib import Path

from v2v_core.text import cut_name

#: Bytes; leaves room for the dots and the random part that tempfile appends.
_LONGEST_PREFIX = 200


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file, or replace one, so that no reader and no crash ever sees a part of it.

    The data is written to a hidden file in the same directory, which is then renamed. The file and its directory are
    synchronized with the storage before the function returns. A symbolic link at ``path`` is replaced, not followed.

    :param mode: permissions of the file, whatever the umask.
    :raises OSError: the file cannot be written; what was at ``path`` before is unchanged.
    """
    handle, name = tempfile.mkstemp(prefix=f".{cut_name(path.name, _LONGEST_PREFIX)}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Synchronize the names in a directory with the storage, so that a renamed file keeps its new name after a crash.

    :raises OSError: the directory cannot be opened, or its file system reports an error.
    """
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as err:
        # fsync(2): some file systems have nothing to synchronize for a directory, and say so with EINVAL
        if err.errno != errno.EINVAL:
            raise
    finally:
        os.close(handle)
