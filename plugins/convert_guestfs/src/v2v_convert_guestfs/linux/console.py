# SPDX-License-Identifier: GPL-2.0-or-later
"""Consoles: those of Xen do not exist on KVM, the first serial port does."""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import Bootloader


def replace_consoles(files: GuestFiles, bootloader: Bootloader) -> None:
    """Turn the consoles of Xen into the first serial port wherever they are named.

    :raises ConversionError: a file cannot be written.
    """
    what, why = "ttyS0 in place of a console of Xen", "KVM has a serial port and no console of Xen"
    files.edit("/etc/inittab", inittab, what=what, why=why)
    files.edit("/etc/securetty", securetty, what=what, why=why)
    bootloader.replace_consoles()


def inittab(data: bytes) -> bytes:
    """Replace the terminals of Xen in the processes of inittab(5)."""
    return re.sub(rb"^(?!\s*#)(.*\b)(?:xvc0|hvc0)\b", rb"\1ttyS0", data, flags=re.MULTILINE)


def securetty(data: bytes) -> bytes:
    """Replace the terminals of Xen in securetty(5), unless the serial port is listed already."""
    listed = re.search(rb"^ttyS0[ \t]*$", data, re.MULTILINE) is not None
    return data if listed else re.sub(rb"^(?:xvc0|hvc0)(?=[ \t]*$)", b"ttyS0", data, count=1, flags=re.MULTILINE)
