# SPDX-License-Identifier: GPL-2.0-or-later
"""Consoles: those of Xen do not exist on KVM, the first serial port does, but for targets that have none."""

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
    """Turn the consoles of Xen into the first serial port wherever they are named.

    :raises ConversionError: a file cannot be written.
    """
    what, why = ON_THE_SERIAL_PORT.what, ON_THE_SERIAL_PORT.why
    files.edit("/etc/inittab", inittab, what=what, why=why)
    files.edit("/etc/securetty", securetty, what=what, why=why)
    _replace_units(files, what, why)
    bootloader.change_consoles(ON_THE_SERIAL_PORT)


def remove_consoles(files: GuestFiles, bootloader: Bootloader) -> None:
    """Have no login wait on a console that the target has not got: neither Xen's nor a serial port.

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
    """Have systemd offer a login on the serial port in place of one on a console that it would wait for."""
    template = next((path for path in _TEMPLATES if files.resolve(path) is not None), None)
    if template is None:
        return
    for path in files.glob(_SYSTEMD):
        if files.remove(path, what="removed", why=why):
            files.link(template, path.rpartition("/")[0] + "/serial-getty@ttyS0.service", what=what, why=why)


def inittab(data: bytes) -> bytes:
    """Replace the terminals of Xen in the processes of inittab(5). A second login on one terminal is put aside."""
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
    """Take the lines of inittab(5) out that start something on a terminal of Xen or on the first serial port."""
    return b"\n".join(line for line in data.split(b"\n") if not _ANY_TERMINAL.search(_process(line)))


def _process(line: bytes) -> bytes:
    """Give the last of the four fields, or nothing if it is no such line."""
    fields = line.split(b":", 3)
    return fields[3] if len(fields) == 4 and not line.lstrip().startswith(b"#") else b""


def securetty(data: bytes) -> bytes:
    """Replace the terminals of Xen in securetty(5), unless the serial port is listed already."""
    listed = re.search(rb"^ttyS0[ \t]*$", data, re.MULTILINE) is not None
    return data if listed else re.sub(rb"^(?:xvc0|hvc0)(?=[ \t]*$)", b"ttyS0", data, count=1, flags=re.MULTILINE)


def securetty_without_consoles(data: bytes) -> bytes:
    """Take the terminals of Xen out of securetty(5)."""
    return re.sub(rb"^(?:xvc0|hvc0)[ \t]*(?:\n|\Z)", b"", data, flags=re.MULTILINE)
