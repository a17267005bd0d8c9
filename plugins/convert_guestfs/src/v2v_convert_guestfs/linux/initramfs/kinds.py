# SPDX-License-Identifier: GPL-2.0-or-later
"""Recognise the tool that made an initramfs by the files in it, and know whether modules can be added to its images."""

from __future__ import annotations

import re
from collections.abc import Set
from enum import StrEnum

from v2v_convert_guestfs.linux.initramfs.image import Image

#: The file systems into which dracut's modules squash and squash-erofs put nearly all files; old versions first.
_PACKED = ("squash/root.img", "squash-root.img", "squashfs-root.img", "erofs-root.img")
_SUSE_SCRIPTS = re.compile(r"boot/\d\d-[^/]+\.sh", re.ASCII)


class Kind(StrEnum):
    """The tools that make initramfs images."""

    INITRAMFS_TOOLS = "initramfs-tools"
    DRACUT = "dracut"
    SUSE_MKINITRD = "SUSE's mkinitrd"
    REDHAT_MKINITRD = "Red Hat's mkinitrd"
    MAKE_INITRD = "make-initrd"
    MKINITCPIO = "mkinitcpio"
    MKINITFS = "mkinitfs"
    UNKNOWN = "an unknown tool"

    @property
    def extendable(self) -> bool:
        """Return whether a module that is added to such an image and its module tables gets loaded.

        It does if udev in the image loads whatever the hardware needs, or nlplug-findfs, which does the same in the
        images of mkinitfs. Those of mkinitcpio need not have udev, but load the modules that a file lists. The images
        of Red Hat's mkinitrd contain a script that loads fixed modules, those of SUSE's mkinitrd a list of modules.
        make-initrd uses udev, but adding modules to its images has not been tested.
        """
        return self in {Kind.INITRAMFS_TOOLS, Kind.DRACUT, Kind.MKINITCPIO, Kind.MKINITFS}


#: Sets of files, each of which only the images of one tool contain.
_MARKS: tuple[tuple[Kind, tuple[Set[str], ...]], ...] = (
    (Kind.INITRAMFS_TOOLS, ({"conf/initramfs.conf"}, {"scripts/functions"})),
    (Kind.DRACUT, ({"usr/lib/dracut-lib.sh"}, {"lib/dracut-lib.sh"})),
    (Kind.MAKE_INITRD, ({"bin/initrd-sh-functions"}, {"usr/bin/initrd-sh-functions"})),
    (Kind.MKINITCPIO, ({"buildconfig", "config"}, {"buildconfig", "init_functions"})),
    (Kind.MKINITFS, ({"sbin/nlplug-findfs"}, {"usr/sbin/nlplug-findfs"})),
)


def kind_of(image: Image) -> Kind:
    """Return the tool that made an image.

    :raises ArchiveError: the image is damaged.
    """
    names = image.entries().keys()
    kind = next((kind for kind, marks in _MARKS if any(mark <= names for mark in marks)), None)
    if kind is not None:
        return kind
    if _is_suse(names):
        return Kind.SUSE_MKINITRD
    first_line = (image.read("init") or b"").partition(b"\n")[0]
    if first_line.startswith(b"#!") and b"nash" in first_line:
        return Kind.REDHAT_MKINITRD
    return Kind.UNKNOWN


def packed_in(image: Image) -> str | None:
    """Return the file system in an image of dracut's that contains its modules and settings, or None."""
    return next((name for name in _PACKED if name in image.entries()), None)


def _is_suse(names: Set[str]) -> bool:
    return "run_all.sh" in names or any(_SUSE_SCRIPTS.fullmatch(name) for name in names)
