# SPDX-License-Identifier: GPL-2.0-or-later
"""SELinux: changed files keep their labels, new ones have none; a guest that uses SELinux is asked to label them."""

from __future__ import annotations

from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles

_MARK = "/.autorelabel"


def relabel_at_boot(files: GuestFiles) -> None:
    """Ask for a relabelling at the next boot, if SELinux is in use.

    :raises ConversionError: the mark cannot be written.
    """
    if files.resolve("/usr/sbin/load_policy") is None:
        return
    mode = shell.value(files.read("/etc/selinux/config") or b"", "SELINUX")
    if mode in {"enforcing", "permissive"}:
        files.create(_MARK, b"", mode=0o644, what="created", why="new files need labels of SELinux")
