# SPDX-License-Identifier: GPL-2.0-or-later
"""Disable the programs that make an initramfs while packages are removed.

Scriptlets and uninstallers run them, and each run takes minutes without hardware virtualization. The resulting images
would suit the appliance instead of the guest, and would invalidate the earlier examination of every initramfs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

_NAMES = (
    *("dracut", "mkinitrd", "make-initrd", "update-initramfs", "mkinitramfs"),
    *("mkinitcpio", "mkinitfs", "genkernel", "booster"),
)
_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/sbin", "/bin")


@contextmanager
def initramfs_programs_at_rest(session: Session, files: GuestFiles) -> Iterator[None]:
    """Replace the programs by ``true`` inside the block, with bind mounts in the appliance.

    :raises ConversionError: a bind mount cannot be removed.
    """
    covered: list[str] = []
    try:
        for program in _programs(files):
            try:
                session.run(["mount", "-n", "--bind", "/bin/true", program])
            except RuntimeError as err:
                session.report.debug(f"{program} cannot be disabled: {brief(err)}")
            else:
                covered.append(program)
        yield
    finally:
        for program in covered:
            _uncover(session, program)


def _programs(files: GuestFiles) -> list[str]:
    """Return the paths of the programs with links resolved: /sbin may be /usr/bin, and mkinitrd a link to dracut."""
    paths = (f"{directory}/{name}" for name in _NAMES for directory in _DIRECTORIES)
    return sorted({real for path in paths if (real := files.resolve(path))})


def _uncover(session: Session, program: str) -> None:
    try:
        session.run(["umount", "-n", program])
    except RuntimeError as err:
        session.report.debug(f"{program} is busy: {brief(err)}")
        try:
            session.run(["umount", "-n", "-l", program])
        except RuntimeError as again:
            raise ConversionError(
                f"{program} in the guest was disabled for a while and cannot be enabled again: {brief(again)}"
            ) from again
