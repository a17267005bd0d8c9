# SPDX-License-Identifier: GPL-2.0-or-later
"""Citrix XenServer: its tools put the text consoles aside, and had one on Xen's instead."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles

_ASIDE = re.compile(rb"^#[ \t]*(?=[0-9]:[0-9]*:respawn:[^\n]*getty)", re.MULTILINE)


def restore_terminals(files: GuestFiles) -> None:
    """Let logins run on the text consoles again.

    :raises ConversionError: the file cannot be written.
    """
    files.edit(
        "/etc/inittab",
        uncomment_terminals,
        what="logins on the text consoles are back",
        why="the XenServer tools had put them aside",
    )


def uncomment_terminals(data: bytes) -> bytes:
    """Uncomment the lines of inittab(5) that run a getty on a text console."""
    return _ASIDE.sub(b"", data)
