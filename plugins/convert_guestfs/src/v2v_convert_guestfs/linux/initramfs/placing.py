# SPDX-License-Identifier: GPL-2.0-or-later
"""The place of an image in the guest: is there room, put a new one there, keep the old one."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

WHY = "the kernel needs the virtio drivers before it can read the disk"
_MIB = 1024 * 1024
#: Bytes that stay free beside a kept old initramfs: enough for the guest's next kernel.
_ROOM_FOR_KERNEL = 128 * _MIB


def free_space(session: Session, image: str) -> int:
    """Give the free bytes of the file system that an image is in: mostly that of /boot."""
    try:
        found = session.handle.statvfs(image.rpartition("/")[0] or "/")
    except RuntimeError:
        return 0
    return int(found["bfree"] * found["bsize"])


def size_estimate(found: Examination) -> int:
    """Give the bytes that a new image needs beside the old one: 4 MiB of modules, or a fifth where all is made anew."""
    return found.size + (4 * _MIB if found.extendable else max(4 * _MIB, found.size // 5))


def place_of(files: GuestFiles, found: Examination) -> str:
    """Give the path of the image without links."""
    assert found.kernel.initramfs is not None  # noqa: S101 - examined, so there is one
    return files.resolve(found.kernel.initramfs) or found.kernel.initramfs


def upload(session: Session, files: GuestFiles, found: Examination, target: Path) -> None:
    """Upload a new image, make sure that it arrived, and let it take the place of the old one.

    :raises ConversionError: it cannot be written.
    """
    handle = session.handle
    place = place_of(files, found)
    temporary = ""
    try:
        temporary = files.temporary_beside(place)
        handle.upload(str(target), temporary)
        with target.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        if str(handle.checksum("sha256", temporary)) != expected:
            raise ConversionError(f"{place} in the guest is not what was written to it")
        _record_checksum(files, found.kernel.version, place, target)
        kept = take_place(session, found, place, temporary)
    except (RuntimeError, ConversionError) as err:
        with suppress(RuntimeError):
            if temporary:
                handle.rm_f(temporary)
        raise ConversionError(
            f"{place} in the guest cannot be written: {brief(err)}", hint="look for free space in /boot of the guest"
        ) from err
    what = []
    if found.lacking:
        what.append(f"{', '.join(found.lacking)} added")
    if found.stale:
        what.append(f"disks called by their new names in {found.stale}")
    if found.carried:
        what.append(f"{', '.join(found.carried)} added")
    why = WHY if found.lacking or found.stale else "udev names NICs before the root file system is there"
    session.changed(place, "; ".join(what) + (f"; the old one is {kept}" if kept else ""), why)


def take_place(session: Session, found: Examination, place: str, new: str) -> str | None:
    """Let a new image take the place of the old one; put that aside where there is plenty of room, and say where.

    :raises RuntimeError: libguestfs's.
    """
    session.handle.copy_attributes(place, new, all=True)
    kept = None
    if free_space(session, place) >= found.size + _ROOM_FOR_KERNEL:
        kept = f"{place}.pre-v2v"
        session.handle.rename(place, kept)
    session.handle.rename(new, place)
    return kept


@contextmanager
def host_directory(session: Session) -> Iterator[Path]:
    """Have a directory on the host for a while."""
    directory = Path(tempfile.mkdtemp(prefix="initramfs-", dir=session.request.temporary))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _record_checksum(files: GuestFiles, version: str, place: str, target: Path) -> None:
    """Tell older initramfs-tools, which refuse to update an image that they did not make: one in /boot."""
    if place.rpartition("/")[0] != "/boot":
        return
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha1").hexdigest()

    def edit(data: bytes) -> bytes:
        return re.sub(rb"^[0-9a-f]{40}(?=\s)", digest.encode(), data)

    files.edit(
        f"/var/lib/initramfs-tools/{version}", edit, what="checksum of the new initramfs", why=f"{place} was changed"
    )
