# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk images in a directory: where they go, whether they fit, how they are created.

An image is written under a hidden name in the directory of its final name, so that a file with the final name is always
whole (``publication.publish`` renames it). If the final name is that of a block device, or of a symbolic link to one,
the device itself is written.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from v2v_core.errors import CommandError, DestinationError
from v2v_core.events import Reporter
from v2v_core.hookspecs import Ledger
from v2v_core.model import DiskService, NbdkitPlugin, QemuImage, SourceDisk, TargetDisk
from v2v_core.output_files.publication import PARTIAL, Opener, hidden_name, open_new
from v2v_core.programs import run_program
from v2v_core.space import amount

#: Bytes; free space without which not even a sparse image and its description can be created.
_LEAST_FREE = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class DiskFile:
    """The destination of one disk.

    :param index: number of the disk, from 1.
    :param written: the file or block device to write.
    :param final: its name when it is whole.
    :param size: virtual size in bytes.
    :param format: ``raw`` or ``qcow2``.
    :param compressed: compress the data; qcow2 only.
    :param device: ``written`` is a block device, which is neither created nor renamed nor deleted.
    :param compat: version of the qcow2 format, as in ``qemu-img create -o compat=…``; None for qemu-img's default.
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
        cls,
        final: Path,
        disk: SourceDisk | TargetDisk,
        *,
        form: str,
        compressed: bool = False,
        compat: str | None = None,
        overwrite: bool = False,
    ) -> DiskFile:
        """Choose where a disk is written: to a hidden file beside its final name, or to the block device of this name.

        :param form: ``raw`` or ``qcow2``. :param overwrite: a file of this name is replaced in the end.
        :raises DestinationError: the final name is taken by something that is not replaced, or the size of the disk is
            not known.
        """
        if disk.size is None:
            raise DestinationError(f"the size of disk {disk.index} is not known")
        device = check_final(final, overwrite=overwrite)
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
        """Return how core has to serve the destination."""
        if self.format == "raw":
            return NbdkitPlugin(name="file", parameters=(("file", str(self.written)),))
        return QemuImage(path=self.written, format=self.format, compressed=self.compressed)


def check_output_directory(directory: Path, option: str) -> None:
    """Check that files can be created in a directory.

    :param option: the option that named the directory, for the error: ``-o local -os``.
    :raises DestinationError: it does not exist, is not a directory, or cannot be written.
    """
    if not directory.exists():
        raise DestinationError(f"{option}: the directory {directory} does not exist", hint="create it first")
    if not directory.is_dir():
        raise DestinationError(f"{option}: {directory} is not a directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise DestinationError(
            f"{option}: no files can be made in the directory {directory}: it is read-only or not yours"
        )


def check_final(final: Path, *, overwrite: bool = False) -> bool:
    """Check that a file can get its final name, and return whether this is the name of a block device.

    :param overwrite: an existing file is replaced; if false, it is an error.
    :raises DestinationError: the name is taken by something that is not replaced, such as a directory.
    """
    try:
        mode = final.stat().st_mode
    except FileNotFoundError:
        # the name is free, or belongs to a symbolic link that leads nowhere
        if final.is_symlink() and not overwrite:
            raise _taken(final) from None
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
    if not overwrite:
        raise _taken(final)
    return False


def _taken(final: Path) -> DestinationError:
    return DestinationError(
        f"{final} exists already", hint="choose another name with -on, or replace what is there with --overwrite"
    )


def check_not_source(final: Path, sources: Sequence[Path]) -> None:
    """Check that a final name does not belong to a file of the source, under whatever path: those are never replaced.

    :param sources: the local files and devices that the source consists of.
    :raises DestinationError: it belongs to one of them.
    """
    for source in sources:
        if final.exists() and source.exists() and final.samefile(source):
            raise DestinationError(
                f"{final} is a disk of the source and is not replaced", hint="choose another -on name, or another -os"
            )


def check_device(device: Path, size: int | None) -> None:
    """Check that a block device can be written, is not in use, and is large enough.

    :param size: bytes that the disk needs; None if they are not known.
    :raises DestinationError: the device cannot be used.
    """
    try:
        # O_EXCL on a block device: fails while it is mounted or part of another device (open(2))
        handle = os.open(device, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as err:
        reason = "it is mounted or in use" if err.errno == errno.EBUSY else err.strerror
        raise DestinationError(f"the block device {device} cannot be written: {reason}") from err
    try:
        capacity = os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)
    if size is not None and capacity < size:
        raise DestinationError(
            f"the block device {device} is too small: it has {capacity} bytes, the disk needs {size}"
        )


def check_space(
    directory: Path,
    sizes: Iterable[int | None],
    *,
    preallocated: bool,
    data: int | None = None,
    report: Reporter | None = None,
) -> None:
    """Check that new images fit into the file system of a directory.

    How large sparse images become is not known before the copy: for them, only a full file system is an error, and too
    little space for the data of the source is a warning.

    :param sizes: virtual sizes in bytes; None for a size that is not known.
    :param preallocated: the images take their whole virtual size from the beginning.
    :param data: bytes of data that the source has for these images, if known. :param report: takes the warning.
    :raises DestinationError: there is not enough space.
    """
    try:
        system = os.statvfs(directory)
    except OSError as err:
        raise DestinationError(f"{directory} cannot be used: {err.strerror}") from err
    free = system.f_bavail * system.f_frsize
    # an image of the same name takes space until the new one is whole
    needed = max(sum(size or 0 for size in sizes) if preallocated else 0, _LEAST_FREE)
    if free < needed:
        raise DestinationError(
            f"there is not enough space in {directory}: {amount(needed)} are needed, {amount(free)} are free "
            f"({needed} and {free} bytes)",
            hint="free some space, or choose another directory with -os" + (", or -oa sparse" if preallocated else ""),
        )
    if data is not None and report is not None and not preallocated and free < data:
        report.warning(
            f"there may not be enough space in {directory}: {amount(free)} are free, and the disks of the guest hold up"
            f" to {amount(data)} of data; free some space, or choose another directory with -os"
        )
    # file systems that create inodes on demand report 0 of 0
    if system.f_files and not system.f_favail:
        raise DestinationError(f"no more files can be created in {directory}: its file system has no free inodes")


def make_disk(disk: DiskFile, ledger: Ledger, *, preallocated: bool, opener: Opener = open_new) -> None:
    """Create the file of a disk. It reads as zeros, and only this user can read it until it is published.

    :param preallocated: reserve all the space now.
    :param opener: creates the file, empty; this process must be able to open it again.
    :raises DestinationError: it cannot be created, or the block device cannot be used.
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
        raise _cannot_create(disk, err.errno, err.strerror or str(err)) from err
    except OverflowError as err:
        raise _cannot_create(disk, None, f"no file can have {disk.size} bytes") from err
    if disk.format != "raw":
        _qemu_create(disk, preallocated=preallocated)


def service_programs(image_format: str) -> Sequence[str]:
    """Return the names of the programs that create and serve images of a format."""
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
        raise _cannot_create(disk, errno.ENOSPC if full else None, err.message) from err


def _cannot_create(disk: DiskFile, number: int | None, reason: str) -> DestinationError:
    if number == errno.ENOSPC:
        try:
            system = os.statvfs(disk.written.parent)
            free = f"{system.f_bavail * system.f_frsize} bytes are"
        except OSError:
            free = "an unknown number is"
        return DestinationError(
            f"there is no space for {disk.final}: {disk.size} bytes are needed, {free} free",
            hint="free some space, or choose another directory with -os, or -oa sparse",
        )
    return DestinationError(f"the disk image {disk.final} cannot be made: {reason}")
