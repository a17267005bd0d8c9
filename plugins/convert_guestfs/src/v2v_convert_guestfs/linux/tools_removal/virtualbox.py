# SPDX-License-Identifier: GPL-2.0-or-later
"""VirtualBox Guest Additions that were installed from its CD-ROM."""

from __future__ import annotations

from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.tools_removal.uninstaller import run_uninstaller
from v2v_convert_guestfs.session import Session


def uninstall(session: Session, files: GuestFiles) -> None:
    """Run their uninstaller, where their own notes say that it is."""
    config = files.read("/var/lib/VBoxGuestAdditions/config")
    directory = shell.value(config, "INSTALL_DIR") if config else None
    if not directory or not directory.startswith("/"):
        return
    program = f"{directory.rstrip('/')}/uninstall.sh"
    if files.resolve(program):
        run_uninstaller(session, files, [program], "the VirtualBox Guest Additions")
