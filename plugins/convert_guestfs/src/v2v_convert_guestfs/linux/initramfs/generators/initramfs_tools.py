# SPDX-License-Identifier: GPL-2.0-or-later
"""initramfs-tools of Debian and its derivatives."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.editors import devices_in
from v2v_convert_guestfs.linux.editors.lines import ended
from v2v_convert_guestfs.linux.families import SMALL, Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_MODULES = "/etc/initramfs-tools/modules"
_TEMPORARY = "/etc/initramfs-tools/conf.d/v2v-temporary"


class InitramfsTools:
    """``update-initramfs``."""

    kind = Kind.INITRAMFS_TOOLS
    package = "initramfs-tools"
    families: frozenset[Family] = SMALL | {Family.DEBIAN}
    programs: tuple[str, ...] = ("/usr/sbin/update-initramfs",)
    takes_output = False

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """List the drivers in the configuration: MODULES=dep includes only those for the current hardware."""
        files.edit(
            _MODULES,
            lambda data: with_modules(data, modules),
            what=f"lists {', '.join(modules)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Mark encrypted disks in crypttab for the initramfs.

        The tool would include them only if they had their crypttab names, but in the appliance they have other names.
        """
        files.edit(
            "/etc/crypttab",
            devices_in.crypttab_in_initramfs,
            what="the option initramfs is set",
            why="the initramfs must be able to open the encrypted disks",
        )

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return two commands: with the guest's own settings, and then with MODULES=most.

        With MODULES=dep the tool examines the appliance's hardware, and fails if it does not know the device of /.
        MODULES=most takes five times as long.
        """
        argv = (job.program, "-c", "-k", job.version)
        return Command(argv), Command(argv, settings={_TEMPORARY: b"MODULES=most\n"})


def with_modules(data: bytes, modules: Sequence[str]) -> bytes:
    """Add the drivers that are missing in a list with one module per line."""
    listed = {line.split()[0].replace(b"-", b"_") for line in data.splitlines() if line.split()}
    lacking = [name.encode() for name in modules if name.encode() not in listed]
    if not lacking:
        return data
    data = ended(data.decode("latin-1")).encode("latin-1")
    return data + b"# Added by virt-v2v: the disks of this machine\n" + b"".join(name + b"\n" for name in lacking)
