# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out where file systems belong, where several would fit: by what they have recorded, or by what is in them."""

from __future__ import annotations

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Session

#: Files and directories that are in what a distribution mounts on a place, and hardly in anything else.
_CONTENTS = {
    "/boot": ("grub", "grub2", "loader", "extlinux"),
    "/boot/efi": ("EFI",),
    "/usr": ("lib/systemd", "share/doc", "share/man"),
    "/var": ("lib/dpkg", "lib/rpm", "lib/systemd"),
}
#: Mount options with which not a byte of a file system changes.
_UNTOUCHED = {"ext3": "ro,noload", "ext4": "ro,noload", "xfs": "ro,norecovery,nouuid"}


def place_of(session: Session, device: str, wanted: frozenset[str]) -> str | None:
    """Return where a file system was last mounted, or the wanted place whose usual contents it has, or None.

    :param wanted: the places to look for. The guest's root must be mounted, and nothing else.
    """
    try:
        if session.filesystems.get(device, "").startswith("ext"):
            recorded = str(session.handle.tune2fs_l(device).get("Last mounted on", ""))
            if recorded in wanted:
                return recorded
        fitting = [place for place in _CONTENTS if place in wanted]
        held = _held(session, device, fitting) if fitting else []
    except RuntimeError as err:
        session.report.debug(f"{device} does not say where it is mounted: {brief(err)}")
        return None
    return held[0] if len(held) == 1 else None


def _held(session: Session, device: str, places: list[str]) -> list[str]:
    handle = session.handle
    at = next((path for path in ("/mnt", "/boot", "/var", "/usr") if handle.is_dir(path)), None)
    if at is None:
        return []
    handle.mount_options(_UNTOUCHED.get(session.filesystems.get(device, ""), "ro"), device, at)
    try:
        return [place for place in places if any(handle.exists(f"{at}/{name}") for name in _CONTENTS[place])]
    finally:
        handle.umount(at)
