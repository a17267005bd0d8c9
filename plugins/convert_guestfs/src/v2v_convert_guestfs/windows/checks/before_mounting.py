# SPDX-License-Identifier: GPL-2.0-or-later
"""Look at the volumes of a Windows guest before anything is mounted for writing.

The volumes of the system must be as a complete shutdown leaves them. What the conversion does not write may be in any
state: Windows looks after it at its next start, and the user is told.
"""

from __future__ import annotations

from contextlib import suppress

from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.checks import bitlocker, layers, ntfs

#: What a volume has that Windows starts from, in any capitals: for a BIOS the boot manager, or its data.
_BOOT_FILES = ("/bootmgr", "/Boot/BCD", "/ntldr", "/EFI/Microsoft/Boot/BCD")


def check_volumes(session: Session, blockers: Blockers) -> bool:
    """Collect the reasons why the volumes of the system must not be written; return whether there are any.

    Nothing must be mounted, and nothing is written here.
    """
    before = len(blockers.reasons)
    found = layers.find_layers(session)
    root = session.inspection.root
    layer = found.below(root)
    if layer is not None:
        blockers.add(*layers.why_not_on(layer, root))
    layers.warn_of_data_disks(session, found)
    for device, kind in sorted(session.filesystems.items()):
        if kind == "ntfs":
            _check_ntfs(session, blockers, device)
        elif kind == bitlocker.KIND and device not in session.opened:
            bitlocker.tell_of_locked(session, device)
        elif kind == bitlocker.KIND and session.opened[device] == root:
            bitlocker.tell_of_opened(session, device)
    return len(blockers.reasons) > before


def _check_ntfs(session: Session, blockers: Blockers, device: str) -> None:
    obstacles = ntfs.find_obstacles(session, device)
    if not obstacles:
        return
    is_root = device in {session.inspection.root, *(found for _, found in session.inspection.mountpoints)}
    if is_root or _boots(session, device):
        what = "the Windows volume" if is_root else "the boot volume"
        for obstacle in obstacles:
            blockers.add(f"{what} {device} cannot be written: {obstacle.value}", ntfs.REMEDIES[obstacle])
        return
    session.report.warning(
        f"the volume {device} was not left in order: {'; '.join(obstacle.value for obstacle in obstacles)}. The "
        "conversion does not write it, it is copied as it is"
    )


def _boots(session: Session, device: str) -> bool:
    """Return whether a volume has the files that Windows starts from."""
    handle = session.handle
    try:
        handle.mount_ro(device, "/")
    except RuntimeError:
        return False
    try:
        return any(_is_there(session, path) for path in _BOOT_FILES)
    finally:
        with suppress(RuntimeError):
            handle.umount_all()


def _is_there(session: Session, path: str) -> bool:
    handle = session.handle
    try:
        return bool(handle.is_file(str(handle.case_sensitive_path(path))))
    except (RuntimeError, UnicodeDecodeError):
        # libguestfs says so of a directory that is not there
        return False
