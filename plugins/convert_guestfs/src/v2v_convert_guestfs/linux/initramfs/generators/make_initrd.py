# SPDX-License-Identifier: GPL-2.0-or-later
"""make-initrd of ALT Linux."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_CONFIGURATION = "/etc/initrd.mk"
_ADDED = re.compile(rb"^[ \t]*MODULES_(?:TRY_)?ADD[ \t]*[+:?]?=[ \t]*([^\n#\\]*)", re.MULTILINE)


class MakeInitrd:
    """``make-initrd``."""

    kind = Kind.MAKE_INITRD
    package = "make-initrd"
    families: frozenset[Family] = frozenset({Family.ALT})
    programs: tuple[str, ...] = ("/usr/sbin/make-initrd",)
    takes_output = False

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Add the drivers to MODULES_ADD: by default make-initrd includes only those for the current hardware."""
        files.edit(
            _CONFIGURATION,
            lambda data: with_modules_added(data, modules),
            what=f"adds {', '.join(modules)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Do nothing: the drivers are in the configuration."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return the only command. The configuration determines the path of the image."""
        return (Command((job.program, "-k", job.version)),)


def with_modules_added(data: bytes, modules: Sequence[str]) -> bytes:
    """Add the drivers that are missing in a configuration, which is a makefile."""
    listed = {name.replace(b"-", b"_") for names in _ADDED.findall(data) for name in names.split()}
    lacking = [name.encode() for name in modules if name.encode() not in listed]
    if not lacking:
        return data
    data = ended(data.decode("latin-1")).encode("latin-1")
    return data + b"# Added by virt-v2v: the disks of this machine\nMODULES_ADD += " + b" ".join(lacking) + b"\n"
