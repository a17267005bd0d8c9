# SPDX-License-Identifier: GPL-2.0-or-later
"""dracut: the default on Fedora, RHEL since 6 and SUSE since 12, and available for other distributions."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind

_DROP_IN = "/etc/dracut.conf.d/50-v2v.conf"
#: dracut reads this file last.
_TEMPORARY = "/etc/dracut.conf.d/zz-v2v-temporary.conf"
#: Settings without the modules that hide an image's files in a file system, where they could not be checked. dracut
#: fails if a module is both forced and omitted. bash reads the file. Spaces are doubled so that each word has its own.
_UNPACKED = b"""\
omit_dracutmodules+=" squash squash-lib squash-squashfs squash-erofs "
for v2v_module in squash squash-lib squash-squashfs squash-erofs; do
    add_dracutmodules=" ${add_dracutmodules// /  } "
    add_dracutmodules="${add_dracutmodules// $v2v_module / }"
    force_add_dracutmodules=" ${force_add_dracutmodules// /  } "
    force_add_dracutmodules="${force_add_dracutmodules// $v2v_module / }"
done
unset v2v_module
"""


class Dracut:
    """``dracut``."""

    kind = Kind.DRACUT
    package = "dracut"
    families: frozenset[Family] = frozenset(Family)
    programs: tuple[str, ...] = ("/sbin/dracut", "/usr/bin/dracut", "/usr/sbin/dracut")
    takes_output = True

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Add the drivers to the configuration: with hostonly=yes dracut includes only those for current hardware."""
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
        """Do nothing: dracut examines the mounted root file system."""

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return two commands: with the guest's own settings, and then with hostonly=no.

        With hostonly=yes dracut examines the machine that it runs on, which is the appliance. The file systems, LVM,
        RAID and encryption that it sees there are the guest's, because they are mounted. Only with hostonly does it
        include crypttab, lvm.conf and mdadm.conf: without them, a guest whose root is encrypted according to crypttab
        alone would not ask for the passphrase. The hardware is the appliance's, but add_drivers does not depend on it.

        hostonly_cmdline=no keeps the appliance's names of disks and of opened encrypted devices out of the image. It is
        set in a file because old versions do not know the option, but ignore unknown settings. The boot loader's root=
        takes its place. The image does not use squashfs, whatever the guest's settings say.
        """
        argv = [job.program, "--force"]
        if job.modules:
            argv += ["--add-drivers", " ".join(job.modules)]
        settings = {_TEMPORARY: b'hostonly_cmdline="no"\n' + _UNPACKED}
        return (
            Command((*argv, job.output, job.version), settings=settings),
            Command((*argv, job.output, job.version), settings={_TEMPORARY: settings[_TEMPORARY] + b'hostonly="no"\n'}),
        )


def drop_in(modules: Sequence[str]) -> bytes:
    """Return a setting that adds the drivers. Its value starts and ends with a space, because += only concatenates."""
    text = f'# Added by virt-v2v: the disks of this machine\nadd_drivers+=" {" ".join(modules)} "\n'
    return text.encode("ascii")
