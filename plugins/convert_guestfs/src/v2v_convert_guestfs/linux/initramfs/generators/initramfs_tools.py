# SPDX-License-Identifier: GPL-2.0-or-later
"""initramfs-tools of Debian and its descendants."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.editors import devices_in
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_MODULES = "/etc/initramfs-tools/modules"
_TEMPORARY = "/etc/initramfs-tools/conf.d/v2v-temporary"


class InitramfsTools:
    """``update-initramfs``."""

    kind = Kind.INITRAMFS_TOOLS
    package = "initramfs-tools"
    families: frozenset[Family] = frozenset({Family.DEBIAN})
    programs: tuple[str, ...] = ("/usr/sbin/update-initramfs",)
    takes_output = False

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """List the drivers: MODULES=dep sees the hardware of the day only."""
        files.edit(
            _MODULES,
            lambda data: with_modules(data, modules),
            what=f"lists {', '.join(modules)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """See that encrypted disks are known to it: it looks for them by names that they have not in the appliance."""
        files.edit(
            "/etc/crypttab",
            devices_in.crypttab_in_initramfs,
            what="the option initramfs is set",
            why="the initramfs must be able to open the encrypted disks",
        )

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Make it as the guest is set up, else with MODULES=most, which takes five times as long.

        MODULES=dep looks at the appliance's hardware, and fails where / is no disk that it knows.
        """
        argv = (job.program, "-c", "-k", job.version)
        return Command(argv), Command(argv, settings={_TEMPORARY: b"MODULES=most\n"})


def with_modules(data: bytes, modules: Sequence[str]) -> bytes:
    """Add the drivers to a list of modules, one a line, that has not got them."""
    listed = {line.split()[0].replace(b"-", b"_") for line in data.splitlines() if line.split()}
    lacking = [name.encode() for name in modules if name.encode() not in listed]
    if not lacking:
        return data
    end = b"" if not data or data.endswith(b"\n") else b"\n"
    return data + end + b"# Added by virt-v2v: the disks of this machine\n" + b"".join(name + b"\n" for name in lacking)
