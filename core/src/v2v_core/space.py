# SPDX-License-Identifier: GPL-2.0-or-later
"""Free space: how much there is, and what to tell the user where there is none."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

_MIB = 1024**2
_GIB = 1024**3
#: What the kernel answers to a write for which there is no room: a full file system, a quota, a limit on the size of a
#: file (setrlimit(2), FAT). NBD and qemu have one error for all three.
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
#: Bytes that are free in a file system and yet of no use: what is left was too little for the write that failed.
_AS_GOOD_AS_FULL = 64 * _MIB

#: Bytes that a run needs for temporary files at least: the overlay of a rebuilt initramfs, removed packages, the
#: appliance's own files; and, in its conversion directory, for its logs.
OVERLAY_NEEDED = _GIB
DIRECTORY_NEEDED = 64 * _MIB
#: qcow2 keeps 8 bytes for each cluster of 64 KiB that the conversion writes or trims.
_TABLES = 8192

#: What helps where the temporary files of a run do not fit.
TEMPORARY_HINT = "free some space, or set VIRT_V2V_TMPDIR to a directory on a larger file system, and run again"


def amount(size: int) -> str:
    """Return a number of bytes in words, with a unit that fits."""
    if size < _MIB:
        return f"{max(0, size) / 1024:.0f} KiB"
    return f"{size / _GIB:.1f} GiB" if size >= _GIB else f"{size / _MIB:.0f} MiB"


def free_space(place: Path) -> int | None:
    """Return the bytes that this user can still write to the file system of a file or directory.

    None if that is not known: the place does not exist, or its file system does not say.
    """
    try:
        system = os.statvfs(place)
    except OSError:
        return None
    # some network and FUSE file systems have no size
    return system.f_bavail * system.f_frsize if system.f_blocks else None


def taken(paths: Iterable[Path]) -> int:
    """Return the bytes that files take on their file system, which are fewer than their size if they have holes."""
    total = 0
    for path in paths:
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue
    return total


def is_no_room(error: BaseException) -> bool:
    """Return whether an error says that a file system, a quota or the longest size of a file was exhausted."""
    return isinstance(error, OSError) and means_no_room(error.errno)


def means_no_room(number: int | None) -> bool:
    """Return whether an errno says so. That of an NBD server does, too (libnbd(3))."""
    return number in _NO_ROOM


def shortage(place: Path) -> str:
    """Return why something could not be written to a place, after a write failed for want of space, as a clause."""
    place = place.resolve()
    free = free_space(place)
    if free is None:
        return f"there is no more space in {place}"
    try:
        system = os.statvfs(place)
    except OSError:
        system = None
    if system is not None and system.f_files and not system.f_favail:
        # a file system that creates inodes on demand reports 0 of 0
        return f"the file system of {place} has no free inodes, so that no more files can be created"
    if free >= _AS_GOOD_AS_FULL:
        return (
            f"{place} takes no more data although its file system has {amount(free)} free: "
            "a quota, or a limit on the size of files, is exhausted"
        )
    return f"the file system of {place} is full, {amount(free)} are free"


def has_overlay(temporary: Path, index: int = 1) -> bool:
    """Return whether a disk is converted in an overlay of this run, in the directory of the overlays.

    If it is not, another program serves the disk, and has the space for it or not.
    """
    return (temporary / overlay_name(index)).exists()


def overlays(temporary: Path) -> list[Path]:
    """Return the overlays in the directory of the overlays."""
    return sorted(temporary.glob(overlay_name("*")))


def overlay_name(index: int | str) -> str:
    """Return the name of the overlay of a disk."""
    return f"disk{index}.qcow2"


def overlay_shortage(temporary: Path, index: int) -> tuple[str, str]:
    """Return why a disk could not be written for want of space, and what helps.

    :param temporary: the directory of the overlays.
    """
    place = temporary.resolve()
    overlay = place / overlay_name(index)
    if not has_overlay(place, index):
        return (
            "its server has no space left for it",
            "free some space where this disk is stored, and look at its log there; the disk may be half converted",
        )
    own, everything = amount(taken([overlay])), amount(taken(place.rglob("*")))
    return (
        f"{shortage(place)}; the overlay {overlay.name} takes {own}, all temporary files of this run {everything}",
        TEMPORARY_HINT,
    )


def no_room(error: BaseException, variables: Mapping[Path, str], what: str) -> tuple[str, str]:
    """Return what to tell the user about a write that found no space, and what helps.

    :param variables: the directories that it may have been in, and the environment variable that moves each.
    :param what: what could not be written, if the error does not name it.
    """
    named = getattr(error, "filename", None)
    file = Path(os.fsdecode(named)) if isinstance(named, str | bytes) else None
    place = file.parent if file is not None else fullest(variables)
    known = [name for ours, name in variables.items() if place.resolve().is_relative_to(ours.resolve())]
    larger = f", or set {known[0]} to a directory on a larger file system" if known else ""
    return f"{file or what} cannot be written: {shortage(place)}", f"free some space{larger}, and run again"


def likely_growth(sizes: Iterable[int]) -> int:
    """Return the bytes that the overlays of a conversion may take, by the virtual sizes of the disks."""
    return OVERLAY_NEEDED + sum(sizes) // _TABLES


def fullest(places: Iterable[Path]) -> Path:
    """Return the place with the least free space; the first one if that is not known."""
    known = list(places)
    sizes = [(free, number) for number, place in enumerate(known) if (free := free_space(place)) is not None]
    return known[min(sizes)[1]] if sizes else known[0]
