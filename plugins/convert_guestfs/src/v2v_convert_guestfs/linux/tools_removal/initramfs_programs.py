# SPDX-License-Identifier: GPL-2.0-or-later
"""Keep the programs that make an initramfs from running while packages are removed.

Scriptlets and uninstallers call them, for minutes each without hardware virtualization. What they made here would be
fit for the appliance, not for the guest; and the conversion has looked into every initramfs before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

_NAMES = ("dracut", "mkinitrd", "make-initrd", "update-initramfs", "mkinitramfs")
_DIRECTORIES = ("/usr/bin", "/usr/sbin", "/sbin", "/bin")


@contextmanager
def initramfs_programs_at_rest(session: Session, files: GuestFiles) -> Iterator[None]:
    """Let them do nothing, successfully, for a while: ``true`` is mounted over each of them in the appliance.

    :raises ConversionError: one of them cannot be put back in its place.
    """
    covered: list[str] = []
    try:
        for program in _programs(files):
            try:
                session.run(["mount", "-n", "--bind", "/bin/true", program])
            except RuntimeError as err:
                session.report.debug(f"{program} cannot be kept from running: {brief(err)}")
            else:
                covered.append(program)
        yield
    finally:
        for program in covered:
            _uncover(session, program)


def _programs(files: GuestFiles) -> list[str]:
    """List them without links: /sbin may be /usr/bin by another name, and mkinitrd dracut."""
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
                f"{program} in the guest, which was kept from running for a while, cannot be released: {brief(again)}"
            ) from again
