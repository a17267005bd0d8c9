# SPDX-License-Identifier: GPL-2.0-or-later
"""Xen: SUSE's list of modules for the initramfs names drivers that only paravirtual guests need."""

from __future__ import annotations

import re

from v2v_convert_guestfs.editors import shell
from v2v_convert_guestfs.files import GuestFiles

_LISTS = re.compile(r"INITRD_MODULES|DOMU_INITRD_MODULES")
#: A word between spaces or quotes, with the spaces after it.
_MODULE = re.compile(r"(?<![^\s\"'])(?:xennet|xen[-_]vnif|xenblk|xen[-_]vbd)(?:[ \t]+|(?=[\"'])|$)")


def forget_modules(files: GuestFiles) -> None:
    """Remove Xen's drivers from the list.

    :raises ConversionError: the file cannot be written.
    """
    files.edit(
        "/etc/sysconfig/kernel",
        without_modules,
        what="Xen's drivers are no longer requested",
        why="ordinary kernels do not have them",
    )


def without_modules(data: bytes) -> bytes:
    """Remove Xen's drivers from the lists of modules in SUSE's /etc/sysconfig/kernel."""
    return shell.edit_values(data, _LISTS, _without)


def _without(value: str) -> str:
    new = _MODULE.sub("", value)
    return re.sub(r"[ \t]+(?=[\"']$)", "", new) if new != value else value
