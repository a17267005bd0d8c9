# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images in a directory: where they go, whether they fit, how they are made.

An image is written under a hidden name beside its final one (``publication.publish`` gives it the final one), so that
what has the final name is always whole. A block device at the final name, or a symbolic link to one, is written itself.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.errors import CommandError, DestinationError
from v2v_core.hookspecs import Ledger
from v2v_core.model import DiskService, NbdkitPlugin, QemuImage, TargetDisk
from v2v_core.output_files.publication import PARTIAL, Opener, hidden_name, open_new
from v2v_core.programs import run_program

#: Bytes; the least that must be free for a sparse image and its description to be begun at all.
_LEAST_FREE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class DiskFile:
    """The destination of one disk.

    :param written: the file or block device to write. :param final: what it will be called.
    :param size: virtual size in bytes.
    :param device: it is a block device, which is neither made nor renamed nor deleted.
    :param compat: of a qcow2 image, as ``qemu-img create`` has it; None for its default.
    """

    index: int
    written: Path
    final: Path
    size: int
    format: str
    compressed: bool = False
    device: bool = False
    compat: str | None = None

    @classmethod
    def beside(
        cls, final: Path, disk: TargetDisk, *, form: str, compressed: bool = False, compat: str | None = None
    ) -> DiskFile:
        """Settle where a disk is written: under a hidden name beside its final one, or to the block device that has it.

        :raises DestinationError: something is there that is not replaced, or the disk's size is not known.
        """
        if disk.size is None:
            raise DestinationError(f"the size of disk {disk.index} is not known")
        device = check_final(final)
        return cls(
            index=disk.index,
            written=final if device else hidden_name(final),
            final=final,
            size=disk.size,
            format=form,
            compressed=compressed,
            device=device,
            compat=compat,
        )

    def service(self) -> DiskService:
        """Describe how it is served."""
        if self.format == "raw":
            return NbdkitPlugin(name="file", parameters=(("file", str(self.written)),))
        return QemuImage(path=self.written, format=self.format, compressed=self.compressed)


def check_output_directory(directory: Path, option: str) -> None:
    """Make sure that files can be made in a directory.

    :param option: what the user called it with, for the error.
    :raises DestinationError: it does not exist, is none, or cannot be written.
    """
    if not directory.exists():
        raise DestinationError(f"{option}: the directory {directory} does not exist", hint="create it first")
    if not directory.is_dir():
        raise DestinationError(f"{option}: {directory} is not a directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DestinationError(
            f"{option}: no files can be made in the directory {directory}: it is read-only or not yours"
        )


def check_final(final: Path) -> bool:
    """Make sure that something can have its final name, and tell whether a block device has it already.

    :raises DestinationError: something is there that is not replaced.
    """
    try:
        mode = final.stat().st_mode
    except FileNotFoundError:
        # nothing there, or a symbolic link to nothing, which is replaced
        return False
    except OSError as err:
        raise DestinationError(f"{final} cannot be used: {err.strerror}") from err
    if stat.S_ISBLK(mode):
        return True
    if not stat.S_ISREG(mode):
        kind = "a directory" if stat.S_ISDIR(mode) else "neither a file nor a block device"
        raise DestinationError(
            f"{final} is {kind} and is not replaced", hint="move it away, or choose another -on name"
        )
    return False


def check_not_source(final: Path, sources: Sequence[Path]) -> None:
    """Make sure that a final name is not that of a disk of the source, under whatever path: it is never replaced.

    :raises DestinationError: it is.
    """
    for source in sources:
        if final.exists() and source.exists() and final.samefile(source):
            raise DestinationError(
                f"{final} is a disk of the source and is not replaced", hint="choose another -on name, or another -os"
            )


def check_device(device: Path, size: int | None) -> None:
    """Make sure that a block device can be written, is not in use, and is large enough.

    :param size: bytes; None if it is not known.
    :raises DestinationError: it cannot be used.
    """
    try:
        # O_EXCL on a block device: fails while it is mounted or part of another device (open(2))
        handle = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as err:
        reason = "it is mounted or in use" if err.errno == errno.EBUSY else err.strerror
        raise DestinationError(f"the block device {device} cannot be written: {reason}") from err
    try:
        there = os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)
    if size is not None and there < size:
        raise DestinationError(f"the block device {device} is too small: it has {there} bytes, the disk needs {size}")


def check_space(directory: Path, sizes: Iterable[int | None], *, preallocated: bool) -> None:
    """Make sure that new images can fit into the file system of a directory.

    Nobody knows before the conversion how large sparse images will be: for them only a full file system is an error.

    :param sizes: virtual sizes in bytes; None for what is not known.
    :raises DestinationError: there is not enough space.
    """
    try:
        system = os.statvfs(directory)
    except OSError as err:
        raise DestinationError(f"{directory} cannot be used: {err.strerror}") from err
    free = system.f_bavail * system.f_frsize
    # an existing image counts: it is there until the new one is whole
    needed = max(sum(size or 0 for size in sizes) if preallocated else 0, _LEAST_FREE)
    if free < needed:
        raise DestinationError(
            f"there is not enough space in {directory}: {needed} bytes are needed, {free} are free",
            hint="free some space, or choose another directory with -os" + (", or -oa sparse" if preallocated else ""),
        )
    # some file systems make inodes as they need them and say 0 of 0
    if system.f_files and not system.f_favail:
        raise DestinationError(f"no more files can be made in {directory}: its file system has no free inodes")


def make_disk(disk: DiskFile, ledger: Ledger, *, preallocated: bool, opener: Opener = open_new) -> None:
    """Make the file of a disk, which reads as zeros, readable for this user only until it is finished.

    :param opener: makes the file, empty; this process must be able to open it again.
    :raises DestinationError: it cannot be made.
    """
    if disk.device:
        check_device(disk.final, disk.size)
        if disk.format != "raw":
            _qemu_create(disk, preallocated=False)
        return
    ledger.record(PARTIAL, str(disk.written))
    try:
        handle = opener(disk.written)
        try:
            if disk.format == "raw" and preallocated and disk.size:
                os.posix_fallocate(handle, 0, disk.size)
            elif disk.format == "raw":
                os.ftruncate(handle, disk.size)
        finally:
            os.close(handle)
    except OSError as err:
        raise _cannot_make(disk, err.errno, err.strerror or str(err)) from err
    except OverflowError as err:
        raise _cannot_make(disk, None, f"no file can have {disk.size} bytes") from err
    if disk.format != "raw":
        _qemu_create(disk, preallocated=preallocated)


def service_programs(image_format: str) -> Sequence[str]:
    """Name the programs that make and serve images of a format."""
    return ("nbdkit",) if image_format == "raw" else ("qemu-img", "qemu-nbd")


def _qemu_create(disk: DiskFile, *, preallocated: bool) -> None:
    settings = ["preallocation=falloc"] if preallocated else []
    if disk.compat is not None:
        settings.append(f"compat={disk.compat}")
    options = ["-o", ",".join(settings)] if settings else []
    try:
        run_program(["qemu-img", "create", "-q", "-f", disk.format, *options, str(disk.written), str(disk.size)])
    except CommandError as err:
        full = "No space left" in err.stderr_tail
        raise _cannot_make(disk, errno.ENOSPC if full else None, err.message) from err


def _cannot_make(disk: DiskFile, number: int | None, reason: str) -> DestinationError:
    if number == errno.ENOSPC:
        try:
            system = os.statvfs(disk.written.parent)
            free = f"{system.f_bavail * system.f_frsize} bytes are"
        except OSError:
            free = "nobody knows how many are"
        return DestinationError(
            f"there is no space for {disk.final}: {disk.size} bytes are needed, {free} free",
            hint="free some space, or choose another directory with -os, or -oa sparse",
        )
    return DestinationError(f"the disk image {disk.final} cannot be made: {reason}")
