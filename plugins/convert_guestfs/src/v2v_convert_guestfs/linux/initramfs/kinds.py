# SPDX-License-Identifier: GPL-2.0-or-later
"""Which tool made an initramfs, told by what is in it, and whether more modules can be put into what that tool made."""

from __future__ import annotations

import re
from collections.abc import Set
from enum import StrEnum

from v2v_convert_guestfs.linux.initramfs.image import Image

_SUSE_SCRIPTS = re.compile(r"boot/\d\d-[^/]+\.sh", re.ASCII)


class Kind(StrEnum):
    """The tools that make images."""

    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"
    SUSE_MKINITRD = "SUSE's mkinitrd"
    REDHAT_MKINITRD = "Red Hat's mkinitrd"
    MAKE_INITRD = "make-initrd"
    UNKNOWN = "an unknown tool"

    @property
    def extendable(self) -> bool:
        """Tell whether a module that is put into such an image, and into its tables of modules, gets loaded.

        It does where udev loads whatever the hardware asks for. Red Hat's mkinitrd writes a script that loads certain
        modules and no others, SUSE's a list of them. make-initrd has udev, but no image of it was there to try it with.
        """
        return self in {Kind.INITRAMFS_TOOLS, Kind.DRACUT}


def kind_of(image: Image) -> Kind:
    """Tell which tool made an image.

    :raises ArchiveError: it is damaged.
    """
    entries = image.entries()
    if {"conf/initramfs.conf", "scripts/functions"} & entries.keys():
        return Kind.INITRAMFS_TOOLS
    if {"usr/lib/dracut-lib.sh", "lib/dracut-lib.sh"} & entries.keys():
        return Kind.DRACUT
    if {"bin/initrd-sh-functions", "usr/bin/initrd-sh-functions"} & entries.keys():
        return Kind.MAKE_INITRD
    if _is_suse(entries.keys()):
        return Kind.SUSE_MKINITRD
    first_line = (image.read("init") or b"").partition(b"\n")[0]
    if first_line.startswith(b"#!") and b"nash" in first_line:
        return Kind.REDHAT_MKINITRD
    return Kind.UNKNOWN


def _is_suse(names: Set[str]) -> bool:
    return "run_all.sh" in names or any(_SUSE_SCRIPTS.fullmatch(name) for name in names)
