# SPDX-License-Identifier: GPL-2.0-or-later
"""Tools that were installed by hand, without a package: run their own uninstaller in the guest.

VMware's is in ``vmware``, since its answers must be prepared.
"""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.tools_removal.initramfs_programs import initramfs_programs_at_rest
from v2v_convert_guestfs.session import Session

_PARALLELS = "/usr/lib/parallels-tools/install"
_VIRTUALBOX_CONFIG = "/var/lib/VBoxGuestAdditions/config"


def run_uninstaller(session: Session, files: GuestFiles, argv: Sequence[str], what: str) -> None:
    """Run a program of the guest that removes ``what``; warn if it fails."""
    try:
        with initramfs_programs_at_rest(session, files):
            session.run(argv)
    except RuntimeError as err:
        session.report.warning(f"{what} cannot be uninstalled from the guest: {brief(err)}")
    else:
        session.changed(argv[0], f"uninstalled {what}", "they belong to the old hypervisor")


def uninstall_parallels(session: Session, files: GuestFiles) -> None:
    """Remove the Parallels Tools: their installer does that with ``-r``."""
    if files.resolve(_PARALLELS):
        run_uninstaller(session, files, [_PARALLELS, "-r"], "the Parallels Tools")


def uninstall_virtualbox(session: Session, files: GuestFiles) -> None:
    """Remove the VirtualBox Guest Additions that came from its CD-ROM; their own file says where they are."""
    config = files.read(_VIRTUALBOX_CONFIG)
    directory = shell.value(config, "INSTALL_DIR") if config else None
    if not directory or not directory.startswith("/"):
        return
    program = f"{directory.rstrip('/')}/uninstall.sh"
    if files.resolve(program):
        run_uninstaller(session, files, [program], "the VirtualBox Guest Additions")
