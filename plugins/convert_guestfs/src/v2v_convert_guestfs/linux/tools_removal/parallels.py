# SPDX-License-Identifier: GPL-2.0-or-later
"""Parallels Tools, which come without a package."""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.tools_removal.uninstaller import run_uninstaller
from v2v_convert_guestfs.session import Session

_PROGRAM = "/usr/lib/parallels-tools/install"


def uninstall(session: Session, files: GuestFiles) -> None:
    """Run their installer backwards."""
    if files.resolve(_PROGRAM):
        run_uninstaller(session, files, [_PROGRAM, "-r"], "the Parallels Tools")
