# SPDX-License-Identifier: GPL-2.0-or-later
"""Run a program of the guest that uninstalls what was installed by hand."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.tools_removal.initramfs_programs import initramfs_programs_at_rest
from v2v_convert_guestfs.session import Session


def run_uninstaller(session: Session, files: GuestFiles, argv: Sequence[str], what: str) -> None:
    """Run it; warn if it fails."""
    try:
        with initramfs_programs_at_rest(session, files):
            session.run(argv)
    except RuntimeError as err:
        session.report.warning(f"{what} cannot be uninstalled from the guest: {brief(err)}")
    else:
        session.changed(argv[0], f"uninstalled {what}", "they belong to the old hypervisor")
