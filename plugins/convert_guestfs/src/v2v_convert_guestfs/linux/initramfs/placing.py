# SPDX-License-Identifier: GPL-2.0-or-later
"""Replace an initramfs in the guest: check the free space, put the new image in place, and keep the old one."""

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

WHY = "the kernel needs the drivers of the disk before it can read it"
_MIB = 1024 * 1024
#: Bytes that must stay free if the old initramfs is kept: enough for the guest's next kernel.
_ROOM_FOR_KERNEL = 128 * _MIB


def free_space(session: Session, image: str) -> int:
    """Return the free bytes of the file system that contains an image, which is usually /boot; 0 if unknown."""
    try:
        status = session.handle.statvfs(image.rpartition("/")[0] or "/")
    except RuntimeError:
        return 0
    return int(status["bfree"] * status["bsize"])


def size_estimate(examined: Examination) -> int:
    """Return the estimated size of the new image in bytes.

    Added modules take about 4 MiB. A rebuilt image may be a fifth larger than the old one.
    """
    return examined.size + (4 * _MIB if examined.extendable else max(4 * _MIB, examined.size // 5))


def place_of(files: GuestFiles, examined: Examination) -> str:
    """Return the path of the image with links resolved."""
    assert examined.kernel.initramfs is not None  # noqa: S101 - a kernel without initramfs has no Examination
    return files.resolve(examined.kernel.initramfs) or examined.kernel.initramfs


def upload(session: Session, files: GuestFiles, examined: Examination, target: Path) -> None:
    """Upload a new image, verify its checksum, and replace the old image.

    :param target: the new image on the host.
    :raises ConversionError: it cannot be written.
    """
    handle = session.handle
    place = place_of(files, examined)
    temporary = ""
    try:
        temporary = files.temporary_beside(place)
        handle.upload(str(target), temporary)
        with target.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        if str(handle.checksum("sha256", temporary)) != expected:
            raise ConversionError(f"{place} in the guest differs from what was written to it")
        _record_checksum(files, examined.kernel.version, place, target)
        kept = take_place(session, examined, place, temporary)
    except (RuntimeError, ConversionError) as err:
        with suppress(RuntimeError):
            if temporary:
                handle.rm_f(temporary)
        raise ConversionError(
            f"{place} in the guest cannot be written: {brief(err)}", hint="check the free space in /boot of the guest"
        ) from err
    what = []
    if examined.lacking:
        what.append(f"{', '.join(examined.lacking)} added")
    if examined.stale:
        what.append(f"disks have their new names in {examined.stale}")
    if examined.carried:
        what.append(f"{', '.join(examined.carried)} added")
    why = WHY if examined.lacking or examined.stale else "udev names NICs before the root file system is mounted"
    session.changed(place, "; ".join(what) + (f"; the old one is {kept}" if kept else ""), why)


def take_place(session: Session, examined: Examination, place: str, new: str) -> str | None:
    """Replace an image by a new one with the same attributes.

    :returns: the path of the old image, or None if there was not enough space to keep it.
    :raises RuntimeError: from libguestfs.
    """
    session.handle.copy_attributes(place, new, all=True)
    kept = None
    if free_space(session, place) >= examined.size + _ROOM_FOR_KERNEL:
        kept = f"{place}.pre-v2v"
        session.handle.rename(place, kept)
    session.handle.rename(new, place)
    return kept


@contextmanager
def host_directory(session: Session) -> Iterator[Path]:
    """Yield a temporary directory on the host, which is removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="initramfs-", dir=session.request.temporary))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _record_checksum(files: GuestFiles, version: str, place: str, target: Path) -> None:
    """Record the checksum of a new image for old initramfs-tools, which update only images that they know.

    The image that the boot loader loads may be another one than the image that they made.
    """
    if place.rpartition("/")[0] != "/boot":
        return
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha1").hexdigest()

    def edit(data: bytes) -> bytes:
        return re.sub(rb"^[0-9a-f]{40}(?=\s+" + re.escape(place.encode()) + rb"\s*$)", digest.encode(), data)

    files.edit(
        f"/var/lib/initramfs-tools/{version}", edit, what="checksum of the new initramfs", why=f"{place} was changed"
    )
