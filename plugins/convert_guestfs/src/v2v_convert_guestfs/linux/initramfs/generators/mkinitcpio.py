# SPDX-License-Identifier: GPL-2.0-or-later
"""mkinitcpio of Arch Linux and its derivatives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.families import SMALL, Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_CONFIGURATION = "/etc/mkinitcpio.conf"
#: The array or, in old versions, the string with the modules; also the lines that append to it.
_MODULES = re.compile(rb"^[ \t]*MODULES\+?=(?:\(([^)]*)\)|\"([^\"]*)\"|'([^']*)')", re.MULTILINE)


class Mkinitcpio:
    """``mkinitcpio``."""

    kind = Kind.MKINITCPIO
    package = "mkinitcpio"
    families: frozenset[Family] = SMALL
    programs: tuple[str, ...] = ("/usr/bin/mkinitcpio", "/usr/sbin/mkinitcpio", "/sbin/mkinitcpio")
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Add the drivers to MODULES: its hook autodetect includes only those for the current hardware."""
        files.edit(
            _CONFIGURATION,
            lambda data: with_modules(data, modules),
            what=f"adds {', '.join(modules)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Do nothing: the drivers are in the configuration."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return two commands: with the guest's own settings, and then without the hook autodetect.

        autodetect sees the hardware of the appliance, and may not find the drivers of the root file system there.
        """
        argv = (job.program, "-k", job.version, "-g", job.output)
        return Command(argv), Command((*argv, "-S", "autodetect"))


def with_modules(data: bytes, modules: Sequence[str]) -> bytes:
    """Add the drivers that are missing in a configuration, which bash reads."""
    found = list(_MODULES.finditer(data))
    words = (
        word for match in found for line in b"".join(filter(None, match.groups())).split(b"\n") for word in _words(line)
    )
    listed = {word.replace(b"-", b"_").rstrip(b"?") for word in words}
    lacking = [name.encode() for name in modules if name.encode() not in listed]
    if not lacking:
        return data
    array = not found or found[-1][1] is not None
    opening, closing = (b"(", b")") if array else (b'" ', b'"')
    data = ended(data.decode("latin-1")).encode("latin-1")
    return (
        data
        + b"# Added by virt-v2v: the disks of this machine\nMODULES+="
        + opening
        + b" ".join(lacking)
        + closing
        + b"\n"
    )


def _words(line: bytes) -> list[bytes]:
    return line.partition(b"#")[0].split()
