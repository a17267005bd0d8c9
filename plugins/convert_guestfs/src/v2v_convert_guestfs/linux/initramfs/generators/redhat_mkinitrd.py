# SPDX-License-Identifier: GPL-2.0-or-later
"""mkinitrd of Red Hat up to version 5. Its images contain a nash script that loads fixed modules."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_WITH_ROOT_LVM = 4


class RedhatMkinitrd:
    """``mkinitrd``."""

    kind = Kind.REDHAT_MKINITRD
    package = "mkinitrd"
    families: frozenset[Family] = frozenset({Family.REDHAT})
    programs: tuple[str, ...] = ("/sbin/mkinitrd",)
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Do nothing: mkinitrd reads the aliases in modprobe.conf, which already name the new driver."""

    def prepare(self, files: GuestFiles) -> None:
        """Do nothing."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return the only command.

        Version 4 does not recognise in the appliance that / is on LVM, so it is always told that it is. This has no
        effect on other guests.
        """
        options = [f"--with={name}" for name in job.modules]
        return (
            Command(
                (job.program, "-f", *options, job.output, job.version),
                environment={"root_lvm": "1"} if job.major == _WITH_ROOT_LVM else {},
                # mkinitrd creates a file system in a file.
                loads=("ext2", "loop"),
            ),
        )
