# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of a Windows guest: paths without case, the access rights of what is written, programs from the host."""

from __future__ import annotations

from pathlib import Path

from v2v_convert_guestfs.files import CONFIGURATION_LIMIT
from v2v_convert_guestfs.session import Session


class WindowsFiles:
    """The files of the mounted guest. Paths are of the appliance (``/Windows/System32``), in any capitals."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find(self, path: str) -> str | None:
        """Return the path as the guest spells it, or None if nothing is there."""
        raise NotImplementedError

    def is_file(self, path: str) -> bool:
        """Return whether there is a regular file."""
        raise NotImplementedError

    def names(self, directory: str) -> tuple[str, ...]:
        """Return the sorted names in a directory; of very many only the first, with a warning."""
        raise NotImplementedError

    def size(self, path: str) -> int | None:
        """Return the size of a file in bytes, or None."""
        raise NotImplementedError

    def read(self, path: str, *, limit: int = CONFIGURATION_LIMIT) -> bytes | None:
        """Read a file; return None if there is none, it cannot be read, or it is longer than ``limit`` (a warning)."""
        raise NotImplementedError

    def read_start(self, path: str, count: int) -> bytes | None:
        """Read at most the first ``count`` bytes of a file of any size; None if there is none or it cannot be read."""
        raise NotImplementedError

    def create(self, path: str, content: bytes | Path, *, why: str, private: bool = False) -> None:
        """Write a file and its directories, or replace one. New ones get the access rights of the directory above.

        :param content: bytes, or a file of the host. :param private: only administrators and the system may write it
            and what is in it, whatever the directory above allows.
        :raises ConversionError: it cannot be written.
        """
        raise NotImplementedError

    def remove(self, path: str, *, why: str) -> bool:
        """Remove a file, or a directory with all that is in it; return whether there was one."""
        raise NotImplementedError
