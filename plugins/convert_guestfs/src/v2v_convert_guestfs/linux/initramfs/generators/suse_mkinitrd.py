# SPDX-License-Identifier: GPL-2.0-or-later
"""mkinitrd of SUSE up to version 11."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import shell
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_KERNEL = "/etc/sysconfig/kernel"
_LIST = "INITRD_MODULES"
#: A quoted list, or one name without quotes. Any other value stays as it is.
_WORD = re.compile(r"(?P<quote>[\"']?)(?P<names>[\w \t\n-]*)(?P=quote)", re.ASCII)


class SuseMkinitrd:
    """SUSE's ``mkinitrd``, which shares only the name with Red Hat's."""

    kind = Kind.SUSE_MKINITRD
    package = "mkinitrd"
    families: frozenset[Family] = frozenset({Family.SUSE})
    programs: tuple[str, ...] = ("/sbin/mkinitrd",)
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """List the drivers in INITRD_MODULES."""
        files.edit(
            _KERNEL,
            lambda data: with_initrd_modules(data, modules),
            what=f"lists {', '.join(modules)} in {_LIST}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Do nothing: the command contains the root file system."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return the only command, with the UUID of the root file system: the name in fstab is not valid here."""
        argv = [job.program, *(("-m", " ".join(job.modules)) if job.modules else ())]
        argv += ["-k", job.kernel, "-i", job.output]
        environment = {}
        if job.root:
            argv += ["-d", job.root]
            environment["rootdev"] = job.root
        return (Command(tuple(argv), environment),)


def with_initrd_modules(data: bytes, modules: Sequence[str]) -> bytes:
    """Add the drivers to INITRD_MODULES. Nothing is added if the setting is missing or not a plain list."""

    def edit(word: str) -> str:
        match = _WORD.fullmatch(word)
        if match is None:
            return word
        listed = match["names"].split()
        lacking = [name for name in modules if name not in {other.replace("-", "_") for other in listed}]
        quote = match["quote"] or '"'
        return quote + " ".join([*listed, *lacking]) + quote if lacking else word

    return shell.edit_values(data, re.compile(_LIST), edit)
