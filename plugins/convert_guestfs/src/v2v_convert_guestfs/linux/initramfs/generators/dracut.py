# SPDX-License-Identifier: GPL-2.0-or-later
"""dracut: Fedora, RHEL from 6 on, SUSE from 12 on, and wherever else it was installed."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_DROP_IN = "/etc/dracut.conf.d/50-v2v.conf"
#: Read after all the others.
_TEMPORARY = "/etc/dracut.conf.d/zz-v2v-temporary.conf"


class Dracut:
    """``dracut``."""

    kind = Kind.DRACUT
    package = "dracut"
    families: frozenset[Family] = frozenset(Family)
    programs: tuple[str, ...] = ("/sbin/dracut", "/usr/bin/dracut", "/usr/sbin/dracut")
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Add the drivers: with hostonly=yes it sees the hardware of the day only."""
        content = drop_in(modules)
        if files.read(_DROP_IN) == content:
            return
        files.create(
            _DROP_IN,
            content,
            mode=0o644,
            what=f"adds {', '.join(modules)}",
            why="for the initramfs of the guest's next kernels",
        )

    def prepare(self, files: GuestFiles) -> None:
        """Nothing: it finds what / is on by looking."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Make it as the guest is set up, else without hostonly.

        With hostonly=yes dracut looks at the machine that it runs on, which is the appliance. What it sees of file
        systems, LVM, RAID and encryption is the guest's, which is mounted there, and only then does it take along
        crypttab, lvm.conf and mdadm.conf: without hostonly, a guest that asks for its root's passphrase by crypttab
        alone would not ask. What it sees of the hardware is not the guest's, but add_drivers does not depend on that.

        What it must not keep is the appliance's names of disks and of opened encrypted ones: that is
        hostonly_cmdline=no. It is a setting in a file because older versions do not know the option, and pass over
        a setting that they do not know. root= comes from the boot loader.
        """
        argv = [job.program, "--force"]
        if job.modules:
            argv += ["--add-drivers", " ".join(job.modules)]
        settings = {_TEMPORARY: b'hostonly_cmdline="no"\n'}
        return (
            Command((*argv, job.output, job.version), settings=settings),
            Command((*argv, job.output, job.version), settings={_TEMPORARY: settings[_TEMPORARY] + b'hostonly="no"\n'}),
        )


def drop_in(modules: Sequence[str]) -> bytes:
    """Give the setting that adds the drivers. The blanks are part of it: settings are strung together."""
    text = f'# Added by virt-v2v: the disks of this machine\nadd_drivers+=" {" ".join(modules)} "\n'
    return text.encode("ascii")
