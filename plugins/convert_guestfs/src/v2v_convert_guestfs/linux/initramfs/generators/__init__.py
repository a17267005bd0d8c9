# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools that make initramfs images, one module each, and the choice of the one that the guest uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.dracut import Dracut
from v2v_convert_guestfs.linux.initramfs.generators.initramfs_tools import InitramfsTools
from v2v_convert_guestfs.linux.initramfs.generators.make_initrd import MakeInitrd
from v2v_convert_guestfs.linux.initramfs.generators.mkinitcpio import Mkinitcpio
from v2v_convert_guestfs.linux.initramfs.generators.mkinitfs import Mkinitfs
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Generator
from v2v_convert_guestfs.linux.initramfs.generators.redhat_mkinitrd import RedhatMkinitrd
from v2v_convert_guestfs.linux.initramfs.generators.suse_mkinitrd import SuseMkinitrd
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

#: If the image does not show its tool, the first installed one is used. dracut comes first, because the mkinitrd of
#: later distributions is a script that calls dracut.
GENERATORS: tuple[Generator, ...] = (
    *(Dracut(), SuseMkinitrd(), InitramfsTools(), MakeInitrd(), RedhatMkinitrd()),
    *(Mkinitcpio(), Mkinitfs()),
)
_OF_FAMILY = {
    Family.DEBIAN: "initramfs-tools",
    Family.ALT: "make-initrd",
    Family.ARCH: "mkinitcpio",
    Family.ALPINE: "mkinitfs",
}


@dataclass(frozen=True)
class Installed:
    """A tool that the guest has, and the path of its program."""

    generator: Generator
    program: str


def find_generators(files: GuestFiles, family: Family | None) -> list[Installed]:
    """Return the tools that are installed."""
    installed = []
    for generator in GENERATORS:
        program = next((path for path in generator.programs if files.resolve(path)), None)
        if program is not None and (family is None or family in generator.families):
            installed.append(Installed(generator, program))
    return installed


def in_use(installed: Sequence[Installed], kind: Kind) -> Installed | None:
    """Return the tool that made an image, or the first installed one if that tool is unknown or not installed."""
    return next((tool for tool in installed if tool.generator.kind is kind), installed[0] if installed else None)


def package_for(family: Family | None, kind: Kind) -> str:
    """Return the name of the package to install in a guest without any tool."""
    known = (tool.package for tool in GENERATORS if tool.kind is kind and (family is None or family in tool.families))
    return next(known, _OF_FAMILY.get(family, "dracut") if family else "dracut")
