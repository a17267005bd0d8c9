# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that Windows keeps compressed behind a reparse point (CompactOS, WIMBoot), which plain ntfs-3g cannot read.

Such a file looks like a symbolic link to nowhere. libguestfs does not even find a Windows then: it looks for cmd.exe.
Files with NTFS's own compression, and encrypted or sparse ones, are not meant: ntfs-3g reads them.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from v2v_convert_guestfs.filesystems.limits import Limit
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import ConversionError

#: What ntfs-3g shows as the target of a link for a reparse point that it does not know.
_NOT_READ = "unsupported reparse"
#: Files below the system's directory that the conversion or the check of its result reads.
_READ = (
    "system32/config/SYSTEM",
    "system32/config/SOFTWARE",
    "system32/ntoskrnl.exe",
    "system32/cmd.exe",
    "system32/winload.exe",
    "system32/winload.efi",
    "system32/drivers/disk.sys",
    "system32/drivers/ndis.sys",
    "system32/drivers/storport.sys",
    "system32/drivers/storahci.sys",
)
_ROOTS = ("/Windows", "/WINNT")
_WHY = "compressed in a way that ntfs-3g of the appliance cannot read (CompactOS)"
_DECOMPRESS = (
    "decompress them at the source with compact /compactos:never, and shut the guest down; or install ntfs-3g's plugin "
    "for system compression on this host, and in libguestfs's appliance"
)


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect the files of the system that cannot be read."""
    found = unreadable(guest.session, (f"{guest.system.systemroot}/{name}" for name in _READ))
    if found:
        blockers.add(f"files of the guest's Windows are {_WHY}: {', '.join(found[:3])}", _DECOMPRESS)


def unreadable(session: Session, paths: Iterable[str]) -> list[str]:
    """Return those of the files in the mounted guest that ntfs-3g cannot read."""
    return [real for path in paths if (real := _unreadable(session, path)) is not None]


def _unreadable(session: Session, path: str) -> str | None:
    handle = session.handle
    # Of a path that does not exist, libguestfs says so.
    with suppress(RuntimeError, UnicodeDecodeError):
        real = str(handle.case_sensitive_path(path))
        if handle.is_symlink(real) and str(handle.readlink(real)).startswith(_NOT_READ):
            return real
    return None


def limits_without_a_system(session: Session) -> list[Limit]:
    """Return the compressed systems as reasons why no operating system was found. Nothing must be mounted."""
    limits = []
    for device, kind in sorted(session.filesystems.items()):
        if kind != "ntfs":
            continue
        with suppress(RuntimeError, ConversionError):
            session.handle.mount_ro(device, "/")
            if unreadable(session, (f"{root}/{name}" for root in _ROOTS for name in _READ)):
                limits.append(Limit(f"{device} has a Windows whose files are {_WHY}", _DECOMPRESS))
        with suppress(RuntimeError):
            session.handle.umount_all()
    return limits
