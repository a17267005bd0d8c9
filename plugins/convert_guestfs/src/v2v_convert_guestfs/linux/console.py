# SPDX-License-Identifier: GPL-2.0-or-later
"""Consoles: move logins and kernel messages from Xen's consoles to the first serial port.

KVM does not have Xen's consoles. On a target without a serial port, they are removed and not replaced.
"""

from __future__ import annotations

import re

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.bootloader import Bootloader
from v2v_convert_guestfs.linux.bootloader.settings import NOWHERE, ON_THE_SERIAL_PORT

_XEN_TERMINAL = re.compile(rb"\b(?:xvc0|hvc0)\b")
_ANY_TERMINAL = re.compile(rb"\b(?:xvc0|hvc0|ttyS0)\b")
_SYSTEMD = "/etc/systemd/system/*.wants/serial-getty@[hx]vc0.service"
_SYSTEMD_SERIAL = "/etc/systemd/system/*.wants/serial-getty@ttyS0.service"
_TEMPLATES = ("/usr/lib/systemd/system/serial-getty@.service", "/lib/systemd/system/serial-getty@.service")


def replace_consoles(files: GuestFiles, bootloader: Bootloader) -> None:
    """Replace Xen's consoles by the first serial port wherever the guest names them.

    :raises ConversionError: a file cannot be written.
    """
    what, why = ON_THE_SERIAL_PORT.what, ON_THE_SERIAL_PORT.why
    files.edit("/etc/inittab", inittab, what=what, why=why)
    files.edit("/etc/securetty", securetty, what=what, why=why)
    _replace_units(files, what, why)
    bootloader.change_consoles(ON_THE_SERIAL_PORT)


def remove_consoles(files: GuestFiles, bootloader: Bootloader) -> None:
    """Remove Xen's consoles and the serial port, so that no login waits on a console that the target does not have.

    :raises ConversionError: a file cannot be written.
    """
    what, why = NOWHERE.what, NOWHERE.why
    files.edit("/etc/inittab", inittab_without_consoles, what=what, why=why)
    files.edit("/etc/securetty", securetty_without_consoles, what=what, why=why)
    for pattern in (_SYSTEMD, _SYSTEMD_SERIAL):
        for path in files.glob(pattern):
            files.remove(path, what="removed", why=why)
    bootloader.change_consoles(NOWHERE)


def _replace_units(files: GuestFiles, what: str, why: str) -> None:
    """Make systemd start a login on the serial port instead of waiting for a Xen console."""
    template = next((path for path in _TEMPLATES if files.resolve(path) is not None), None)
    if template is None:
        return
    for path in files.glob(_SYSTEMD):
        if files.remove(path, what="removed", why=why):
            files.link(template, path.rpartition("/")[0] + "/serial-getty@ttyS0.service", what=what, why=why)


def inittab(data: bytes) -> bytes:
    """Replace Xen's terminals in the process fields of inittab(5), and comment out a second login on one terminal."""
    lines = data.split(b"\n")
    taken = any(re.search(rb"\bttyS0\b", _process(line)) for line in lines)
    for place, line in enumerate(lines):
        process = _process(line)
        if not _XEN_TERMINAL.search(process):
            continue
        new = line[: len(line) - len(process)] + _XEN_TERMINAL.sub(b"ttyS0", process)
        lines[place] = b"#" + line if taken else new
        taken = True
    return b"\n".join(lines)


def inittab_without_consoles(data: bytes) -> bytes:
    """Remove the lines of inittab(5) that start a process on a Xen terminal or on the first serial port."""
    return b"\n".join(line for line in data.split(b"\n") if not _ANY_TERMINAL.search(_process(line)))


def _process(line: bytes) -> bytes:
    """Return the last of the four fields of a line of inittab(5), or b"" for comments and other lines."""
    fields = line.split(b":", 3)
    return fields[3] if len(fields) == 4 and not line.lstrip().startswith(b"#") else b""


def securetty(data: bytes) -> bytes:
    """Replace Xen's terminals in securetty(5), unless the serial port is already listed."""
    listed = re.search(rb"^ttyS0[ \t]*$", data, re.MULTILINE) is not None
    return data if listed else re.sub(rb"^(?:xvc0|hvc0)(?=[ \t]*$)", b"ttyS0", data, count=1, flags=re.MULTILINE)


def securetty_without_consoles(data: bytes) -> bytes:
    """Remove Xen's terminals from securetty(5)."""
    return re.sub(rb"^(?:xvc0|hvc0)[ \t]*(?:\n|\Z)", b"", data, flags=re.MULTILINE)
