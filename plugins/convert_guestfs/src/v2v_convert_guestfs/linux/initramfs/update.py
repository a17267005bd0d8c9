# SPDX-License-Identifier: GPL-2.0-or-later
"""Make every kernel that is offered boot from virtio: examine first, change what must be changed, look again."""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import ESSENTIAL, WANTED, Examination, examine, examine_file
from v2v_convert_guestfs.linux.initramfs.extend import extend
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_MIB = 1024 * 1024
#: Bytes that stay free beside a kept old initramfs: enough for the guest's next kernel.
_ROOM_FOR_KERNEL = 128 * _MIB
#: Bytes that the images of all kernels may take on this host, with what is expanded of them.
_HOST_LIMIT = 2048 * _MIB
_MODULES = "/etc/initramfs-tools/modules"
_TEMPORARY = "/etc/initramfs-tools/conf.d/v2v-temporary"
_WHY = "the kernel needs the virtio drivers before it can read the disk"


@dataclass
class InitramfsWork:
    """The examined kernels; the first is the one that boots by default."""

    examinations: list[Examination]
    directories: list[Path]

    def carry(self, files: Mapping[str, bytes], driver: str) -> None:
        """Have files of the guest in those images that name NICs: udev does it wherever the driver of the NIC is.

        Named otherwise there, a NIC gets its name later only from systemd 240 on, and only while it is down.
        """
        self.examinations = [
            replace(found, carried=dict(files))
            if files and found.image and (driver in found.present or found.kernel.builds_in(driver))
            else found
            for found in self.examinations
        ]

    def discard(self) -> None:
        """Remove what was brought to the host."""
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)


def examine_kernels(
    session: Session, files: GuestFiles, kernels: Sequence[Kernel], names: DeviceNames, blockers: Blockers
) -> InitramfsWork:
    """Examine the initramfs of each kernel, and see whether there is room for a new one of the first."""
    work = InitramfsWork([], [])
    taken = 0
    for number, kernel in enumerate(kernels):
        if taken > _HOST_LIMIT:
            session.report.warning(
                f"the initramfs images of {len(kernels) - number} more kernels are not looked at, the others take "
                f"{taken // _MIB} MB: those kernels may not boot from a virtio disk"
            )
            break
        if kernel.initramfs is None:
            if number == 0 and not all(kernel.builds_in(name) for name in ESSENTIAL):
                session.report.warning(
                    f"the kernel {kernel.version} has no initramfs and its virtio drivers are modules: it may not boot"
                )
            continue
        directory = Path(tempfile.mkdtemp(prefix="initramfs-", dir=session.request.temporary))
        work.directories.append(directory)
        found = examine(session, kernel, names, directory)
        if found.image is None:
            # What cannot be read is of no more use, and may be a bomb.
            shutil.rmtree(directory, ignore_errors=True)
        taken += sum(path.stat().st_size for path in directory.glob("*"))
        work.examinations.append(found)
        _say(session, found)
        if number == 0 and not found.is_fine:
            free, needed = _free(session), _size_estimate(found)
            if free < needed:
                blockers.add(
                    f"/boot in the guest has {free // _MIB} MB of free space and the new initramfs of the kernel "
                    f"{kernel.version} needs {needed // _MIB} MB",
                    "remove old kernels from the guest, for example with apt-get autoremove",
                )
            if not found.boots and not _has_generator(files) and found.image is None:
                blockers.add(
                    f"{kernel.initramfs} in the guest cannot be read ({found.unreadable}), and the guest has no "
                    "update-initramfs to make a new one",
                    "install initramfs-tools in the guest",
                )
    return work


def update(session: Session, files: GuestFiles, work: InitramfsWork, names: DeviceNames) -> None:
    """Change the images that need it, and make sure that the guest's next images are right too.

    :raises ConversionError: the default kernel's cannot be changed.
    """
    if any(not found.boots for found in work.examinations):
        list_modules(files)
    for number, found in enumerate(work.examinations):
        if found.is_fine:
            if found.carried:
                _carry(session, files, found, names)
            continue
        if number > 0 and _free(session) < _size_estimate(found):
            session.report.warning(
                f"there is no room in /boot of the guest for a new initramfs of the kernel {found.kernel.version}: "
                "that kernel will not boot from a virtio disk"
            )
            continue
        try:
            _update_one(session, files, found, names)
        except ConversionError as err:
            if number == 0:
                raise
            session.report.warning(f"the kernel {found.kernel.version} will not boot from a virtio disk: {err}")


def list_modules(files: GuestFiles) -> None:
    """List the drivers for initramfs-tools, whose MODULES=dep sees the hardware of the day only."""
    files.edit(
        _MODULES,
        with_modules,
        what=f"lists {', '.join(WANTED[:3])}",
        why="for the initramfs of the guest's next kernels",
    )


def with_modules(data: bytes) -> bytes:
    """Add the drivers to a list of modules, one a line, that has not got them."""
    listed = {line.split()[0].replace(b"-", b"_") for line in data.splitlines() if line.split()}
    lacking = [name.encode() for name in WANTED[:3] if name.encode() not in listed]
    if not lacking:
        return data
    end = b"" if not data or data.endswith(b"\n") else b"\n"
    return data + end + b"# Added by virt-v2v: the disks of this machine\n" + b"".join(name + b"\n" for name in lacking)


def _update_one(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    started = time.monotonic()
    with _directory(session) as directory:
        target = directory / "initramfs.new"
        try:
            extend(session, found, target)
            new = examine_file(found.kernel, target, names, directory)
            if not new.is_fine:
                raise ArchiveError(f"afterwards {', '.join(new.lacking) or 'an old name of a disk'} was still wrong")
        except (ArchiveError, OSError, RuntimeError) as err:
            session.report.info(
                f"The initramfs of the kernel {found.kernel.version} is made anew by the guest itself: {brief(err)}"
            )
            _make_anew(session, files, found, names)
        else:
            _put_in_place(session, files, found, target)
    session.report.debug(f"initramfs of {found.kernel.version}: {time.monotonic() - started:.1f} s")


def _carry(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    """Add files to an image that boots as it is; if that does not work, it stays so."""
    found = replace(found, lacking=())
    try:
        if _free(session) < _size_estimate(found):
            raise ArchiveError("there is no room in /boot")
        with _directory(session) as directory:
            target = directory / "initramfs.new"
            extend(session, found, target)
            new = examine_file(found.kernel, target, names, directory)
            if not new.is_fine or new.present != found.present:
                raise ArchiveError("afterwards it was damaged")
            _put_in_place(session, files, found, target)
    except (ArchiveError, OSError, RuntimeError, ConversionError) as err:
        session.not_done(
            f"the initramfs of the kernel {found.kernel.version} does not know the names of NICs, which have them "
            "later only; update-initramfs in the converted guest puts it right",
            err,
        )


def _put_in_place(session: Session, files: GuestFiles, found: Examination, target: Path) -> None:
    """Upload a new image, make sure that it arrived, and let it take the place of the old one.

    :raises ConversionError: it cannot be written.
    """
    handle = session.handle
    assert found.kernel.initramfs is not None  # noqa: S101 - examined, so there is one
    place = files.resolve(found.kernel.initramfs) or found.kernel.initramfs
    temporary = ""
    try:
        temporary = files.temporary_beside(place)
        handle.upload(str(target), temporary)
        handle.copy_attributes(place, temporary, all=True)
        with target.open("rb") as file:
            expected = hashlib.file_digest(file, "sha256").hexdigest()
        if str(handle.checksum("sha256", temporary)) != expected:
            raise ConversionError(f"{place} in the guest is not what was written to it")
        _record_checksum(files, found.kernel.version, place, target)
        kept = _keep_old(session, found, place)
        handle.rename(temporary, place)
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
        what.append(f"disks called by their new names in {', '.join(found.stale)}")
    if found.carried:
        what.append(f"{', '.join(found.carried)} added")
    why = _WHY if found.lacking or found.stale else "udev names NICs before the root file system is there"
    session.changed(place, "; ".join(what) + (f"; the old one is {kept}" if kept else ""), why)


def _keep_old(session: Session, found: Examination, place: str) -> str | None:
    """Put the old image aside where there is plenty of room."""
    if _free(session) < found.size + _ROOM_FOR_KERNEL:
        return None
    kept = f"{place}.pre-v2v"
    session.handle.rename(place, kept)
    return kept


def _record_checksum(files: GuestFiles, version: str, place: str, target: Path) -> None:
    """Tell older initramfs-tools, which refuse to update an image that they did not make."""
    with target.open("rb") as file:
        digest = hashlib.file_digest(file, "sha1").hexdigest()

    def edit(data: bytes) -> bytes:
        return re.sub(rb"^[0-9a-f]{40}(?=\s)", digest.encode(), data)

    files.edit(
        f"/var/lib/initramfs-tools/{version}", edit, what="checksum of the new initramfs", why=f"{place} was changed"
    )


def _make_anew(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    """Run the guest's own tool, and look into what it made.

    :raises ConversionError: it failed, or made one that does not boot.
    """
    kernel = found.kernel
    if not _has_generator(files):
        raise ConversionError(
            f"the guest has no update-initramfs to make an initramfs for the kernel {kernel.version}",
            hint="install initramfs-tools in the guest",
        )
    list_modules(files)
    # As the guest is set up, first: MODULES=most takes five times as long. But MODULES=dep looks at the appliance's
    # hardware, and fails where / is no disk that it knows.
    for everything in (False, True):
        try:
            _run_generator(session, files, kernel, everything=everything)
            with _directory(session) as directory:
                new = examine(session, kernel, names, directory)
            if new.image is not None and not new.boots:
                raise ConversionError(
                    f"the initramfs that the guest has made for the kernel {kernel.version} lacks "
                    + ", ".join(new.lacking)
                )
        except ConversionError as err:
            if everything:
                raise
            session.report.debug(f"{err}: trying again with MODULES=most")
        else:
            session.changed(str(kernel.initramfs), "made anew by update-initramfs", _WHY)
            return


def _run_generator(session: Session, files: GuestFiles, kernel: Kernel, *, everything: bool) -> None:
    """Run update-initramfs, with the modules that it is told to take, or with all that may be of use.

    :raises ConversionError: it failed.
    """
    if everything:
        files.create(_TEMPORARY, b"MODULES=most\n", mode=0o644, what="created", why="for the next command only")
    try:
        session.run(["update-initramfs", "-c", "-k", kernel.version])
    except RuntimeError as err:
        raise ConversionError(
            f"update-initramfs failed in the guest for the kernel {kernel.version}: {brief(err)}",
            hint="the log has its words; run it in the guest at its hypervisor",
        ) from err
    finally:
        if everything:
            files.remove(_TEMPORARY, what="removed", why="it was for one command only")


def _say(session: Session, found: Examination) -> None:
    name = found.kernel.initramfs
    if found.image is None:
        session.report.debug(f"{name} cannot be read: {found.unreadable}")
    elif found.is_fine:
        session.report.info(f"The initramfs of the kernel {found.kernel.version} has the virtio drivers already")
    else:
        wrong = [*found.lacking, *found.stale]
        session.report.debug(f"{name}: {len(found.present)} modules; to be put right: {', '.join(wrong)}")


def _has_generator(files: GuestFiles) -> bool:
    return files.resolve("/usr/sbin/update-initramfs") is not None


def _free(session: Session) -> int:
    try:
        found = session.handle.statvfs("/boot")
    except RuntimeError:
        return 0
    return int(found["bfree"] * found["bsize"])


def _size_estimate(found: Examination) -> int:
    """Give the bytes that a new image needs beside the old one: 4 MiB of modules, or a fifth where all is made anew."""
    return found.size + (4 * _MIB if found.image is not None else max(4 * _MIB, found.size // 5))


@contextmanager
def _directory(session: Session) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="initramfs-", dir=session.request.temporary))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
