# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the guest's network configuration, without files that are masked."""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session

#: Bytes. Larger files are not written by administrators.
_LIMIT = 64 * 1024
_FILES_LIMIT = 200


def contents(session: Session, files: GuestFiles, pattern: str) -> list[tuple[str, bytes]]:
    """Return the paths and contents of the files that match."""
    return [(path, data) for path, data in contents_or_masked(session, files, pattern) if data is not None]


def contents_or_masked(session: Session, files: GuestFiles, pattern: str) -> list[tuple[str, bytes | None]]:
    """Return the paths and contents of the files that match. The content of a masked or unreadable one is None."""
    return [
        (path, None if is_masked(session, path) else files.read(path, limit=_LIMIT))
        for path in files.glob(pattern)[:_FILES_LIMIT]
    ]


def is_masked(session: Session, path: str) -> bool:
    """Return whether a file is masked: it is a link to /dev/null, or empty."""
    try:
        if session.handle.is_symlink(path):
            return str(session.handle.readlink(path)) == "/dev/null"
        return bool(session.handle.is_file(path)) and int(session.handle.filesize(path)) == 0
    except RuntimeError as err:
        session.report.debug(f"{path}: {brief(err)}")
        return False
