# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that the administrator has locked with chattr: a locked file that must be changed is an obstacle.

The conversion does not unlock files, because the administrator locked them on purpose. A locked /etc/resolv.conf, the
most common case, is no problem: the appliance has no network and does not touch the file.
"""

from __future__ import annotations

from dataclasses import replace

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
    "/boot/extlinux.conf",
    "/boot/*linux/*linux.c*",
    "/boot/*.cfg",
    "/etc/update-extlinux.conf",
)
#: Directories in which the conversion creates or replaces files in nearly every guest.
_DIRECTORIES = (
    *("/", "/boot", "/boot/grub", "/boot/grub2", "/etc", "/etc/systemd/system", "/usr/local/sbin", "/var/lib"),
    *("/etc/rc.d/init.d", "/etc/init.d", "/var/lib/dpkg", "/var/lib/rpm"),
    *("/lib/apk/db", "/var/lib/pacman/local", "/etc/runlevels/default"),
)
_PLACES = (*block_devices.PLACES, *block_devices.PLACES_ON_DISK)
#: The letters of lsattr(1) for immutable and append-only.
_LOCKS = {"i": "immutable", "a": "append-only"}


def check_configuration(session: Session, files: GuestFiles, blockers: Blockers) -> None:
    """Block on locked directories in which files are created, and on locked files in which disks are renamed."""
    for path in _DIRECTORIES:
        _check(session, path, blockers)
    # The bus of the disks is not chosen yet. Nearly every guest gets virtio disks.
    names = DeviceNames.of(session.request.guest.disks, "vd")
    for path in dict.fromkeys(path for pattern in _BOOT for path in files.glob(pattern)):
        if lock_of(session, path) and names.stale_in((files.read(path) or b"").decode("latin-1")):
            _check(session, path, blockers)
    found = ((path, editor) for pattern, editor in _PLACES for path in files.glob(pattern))
    locked = [(path, editor) for path, editor in found if lock_of(session, path)]
    if locked:
        names = replace(names, volumes=block_devices.physical_volumes(session, names))
    for path, editor in locked:
        if editor(data := files.read(path) or b"", names) != data:
            _check(session, path, blockers)


def check_images(session: Session, work: InitramfsWork, blockers: Blockers) -> None:
    """Block on locked initramfs images that must be changed."""
    for examined in work.examinations:
        if examined.kernel.initramfs and not examined.is_fine:
            _check(session, examined.kernel.initramfs, blockers)


def _check(session: Session, path: str, blockers: Blockers) -> None:
    letter = lock_of(session, path)
    if letter:
        blockers.add(
            f"{path} in the guest is {_LOCKS[letter]} and has to be changed",
            f"run chattr -{letter} {path} in the guest on its source hypervisor",
        )


def lock_of(session: Session, path: str) -> str | None:
    """Return the letter of the lock of a file or directory, or None if it is not locked or does not exist."""
    handle = session.handle
    try:
        if not handle.exists(path):
            return None
        attributes = str(handle.get_e2attrs(str(handle.realpath(path))))
    except RuntimeError as err:
        # The file system has no such attributes.
        session.report.debug(f"{path}: {brief(err)}")
        return None
    return next((letter for letter in _LOCKS if letter in attributes), None)
