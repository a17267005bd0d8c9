# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that an administrator has locked with chattr: those that must be changed stand in the way.

They are not unlocked: somebody meant it. A locked /etc/resolv.conf, which is the usual one, does not matter, since the
appliance has no network and the file is not touched.
"""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import block_devices
from v2v_convert_guestfs.linux.initramfs.update import InitramfsWork
from v2v_convert_guestfs.session import Blockers, Session

#: The boot loader's files.
_BOOT = (
    "/boot/grub/grub.cfg",
    "/boot/grub/menu.lst",
    "/boot/grub/grub.conf",
    "/boot/grub2/grub.cfg",
    "/boot/loader/entries/*.conf",
    "/etc/default/grub",
)
#: Directories in which files are made or replaced in every guest, or nearly so.
_DIRECTORIES = (
    *("/", "/boot", "/boot/grub", "/boot/grub2", "/etc", "/etc/systemd/system", "/usr/local/sbin", "/var/lib"),
    *("/etc/rc.d/init.d", "/etc/init.d", "/var/lib/dpkg", "/var/lib/rpm"),
)
#: The letters of lsattr(1) for immutable and append-only.
_LOCKS = {"i": "immutable", "a": "append-only"}


def check_configuration(session: Session, files: GuestFiles, blockers: Blockers) -> None:
    """Find locked directories that files are made in, and locked files in which disks are renamed."""
    for path in _DIRECTORIES:
        _check(session, path, blockers)
    # Nobody knows yet whether there will be virtio disks, but there are in nearly every guest.
    names = DeviceNames.of(session.request.guest.disks, "vd")
    boot = (path for pattern in _BOOT for path in files.glob(pattern))
    for path in dict.fromkeys((*boot, *block_devices.edited(files))):
        if lock_of(session, path) and names.stale_in((files.read(path) or b"").decode("latin-1")):
            _check(session, path, blockers)


def check_images(session: Session, work: InitramfsWork, blockers: Blockers) -> None:
    """Find locked images of the initramfs, of those that must be changed."""
    for found in work.examinations:
        if found.kernel.initramfs and not found.is_fine:
            _check(session, found.kernel.initramfs, blockers)


def _check(session: Session, path: str, blockers: Blockers) -> None:
    letter = lock_of(session, path)
    if letter:
        blockers.add(
            f"{path} in the guest is {_LOCKS[letter]} and has to be changed",
            f"run chattr -{letter} {path} in the guest at its hypervisor",
        )


def lock_of(session: Session, path: str) -> str | None:
    """Give the letter of the lock of a file or directory, or None: it has none, or is not there."""
    handle = session.handle
    try:
        if not handle.exists(path):
            return None
        attributes = str(handle.get_e2attrs(str(handle.realpath(path))))
    except RuntimeError as err:
        # A file system without such attributes.
        session.report.debug(f"{path}: {brief(err)}")
        return None
    return next((letter for letter in _LOCKS if letter in attributes), None)
