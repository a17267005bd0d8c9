# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools that make images, one file each, and which of them the guest has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.dracut import Dracut
from v2v_convert_guestfs.linux.initramfs.generators.initramfs_tools import InitramfsTools
from v2v_convert_guestfs.linux.initramfs.generators.make_initrd import MakeInitrd
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Generator
from v2v_convert_guestfs.linux.initramfs.generators.redhat_mkinitrd import RedhatMkinitrd
from v2v_convert_guestfs.linux.initramfs.generators.suse_mkinitrd import SuseMkinitrd
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

#: Where nothing else tells, the first that is installed: mkinitrd of later distributions is a script that calls dracut.
GENERATORS: tuple[Generator, ...] = (Dracut(), SuseMkinitrd(), InitramfsTools(), MakeInitrd(), RedhatMkinitrd())
_OF_FAMILY = {Family.DEBIAN: "initramfs-tools", Family.ALT: "make-initrd"}


@dataclass(frozen=True)
class Installed:
    """A tool that the guest has, and the path of its program."""

    generator: Generator
    program: str


def find_generators(files: GuestFiles, family: Family | None) -> list[Installed]:
    """List the tools that are installed."""
    found = []
    for generator in GENERATORS:
        program = next((path for path in generator.programs if files.resolve(path)), None)
        if program is not None and (family is None or family in generator.families):
            found.append(Installed(generator, program))
    return found


def in_use(installed: Sequence[Installed], kind: Kind) -> Installed | None:
    """Choose the tool that made an image, or the first where that one is not known, or is gone."""
    return next((found for found in installed if found.generator.kind is kind), installed[0] if installed else None)


def package_for(family: Family | None, kind: Kind) -> str:
    """Name the package that a guest without any tool should have."""
    known = (
        found.package for found in GENERATORS if found.kind is kind and (family is None or family in found.families)
    )
    return next(known, _OF_FAMILY.get(family, "dracut") if family else "dracut")
