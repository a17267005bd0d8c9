# SPDX-License-Identifier: GPL-2.0-or-later
"""Make every kernel that is offered boot from virtio: examine first, change what must be changed, look again."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.initramfs.blacklists import look_for_blacklists
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.examine import ESSENTIAL, Examination, examine, examine_file
from v2v_convert_guestfs.linux.initramfs.extend import extend
from v2v_convert_guestfs.linux.initramfs.placing import free_space, host_directory, size_estimate, upload
from v2v_convert_guestfs.linux.initramfs.rebuild import configure, make_anew, maker_for, missing_tool
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import ConversionError

_MIB = 1024 * 1024
#: Bytes that the images of all kernels may take on this host, with what is expanded of them.
_HOST_LIMIT = 2048 * _MIB


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
    if kernels:
        look_for_blacklists(session, files, kernels[0], blockers)
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
            place = kernel.initramfs.rpartition("/")[0]
            free, needed = free_space(session, kernel.initramfs), size_estimate(found)
            if free < needed:
                blockers.add(
                    f"{place} in the guest has {free // _MIB} MB of free space and the new initramfs of the kernel "
                    f"{kernel.version} needs {needed // _MIB} MB",
                    "remove old kernels from the guest with its package manager",
                )
            if not found.extendable and maker_for(session, files, found) is None:
                blockers.add(_cannot_be_changed(found), missing_tool(session, found))
    return work


def update(session: Session, files: GuestFiles, work: InitramfsWork, names: DeviceNames) -> None:
    """Change the images that need it, and make sure that the guest's next images are right too.

    :raises ConversionError: the default kernel's cannot be changed.
    """
    not_booting = [found for found in work.examinations if not found.boots]
    if not_booting:
        configure(session, files, not_booting[0])
    for number, found in enumerate(work.examinations):
        if found.is_fine:
            if found.carried:
                _carry(session, files, found, names)
            continue
        image = str(found.kernel.initramfs)
        if number > 0 and free_space(session, image) < size_estimate(found):
            session.report.warning(
                f"there is no room for {image} in the guest made anew for the kernel {found.kernel.version}: "
                "that kernel will not boot from a virtio disk"
            )
            continue
        try:
            _update_one(session, files, found, names)
        except ConversionError as err:
            if number == 0:
                raise
            session.report.warning(f"the kernel {found.kernel.version} will not boot from a virtio disk: {err}")


def _update_one(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    started = time.monotonic()
    with host_directory(session) as directory:
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
            make_anew(session, files, found, names)
        else:
            upload(session, files, found, target)
    session.report.debug(f"initramfs of {found.kernel.version}: {time.monotonic() - started:.1f} s")


def _carry(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    """Add files to an image that boots as it is; if that does not work, it stays so."""
    found = replace(found, lacking=())
    if not found.extendable:
        session.report.debug(f"{found.kernel.initramfs} is of {found.kind}: it does not get the names of NICs")
        return
    try:
        if free_space(session, str(found.kernel.initramfs)) < size_estimate(found):
            raise ArchiveError("there is no room for it")
        with host_directory(session) as directory:
            target = directory / "initramfs.new"
            extend(session, found, target)
            new = examine_file(found.kernel, target, names, directory)
            if not new.is_fine or new.present != found.present:
                raise ArchiveError("afterwards it was damaged")
            upload(session, files, found, target)
    except (ArchiveError, OSError, RuntimeError, ConversionError) as err:
        session.not_done(
            f"the initramfs of the kernel {found.kernel.version} does not know the names of NICs, which have them "
            "later only; a new initramfs, made in the converted guest, puts it right",
            err,
        )


def _say(session: Session, found: Examination) -> None:
    name = found.kernel.initramfs
    if found.image is None:
        session.report.debug(f"{name} cannot be read: {found.unreadable}")
    elif found.is_fine:
        session.report.info(f"The initramfs of the kernel {found.kernel.version} has the virtio drivers already")
    else:
        wrong = [*found.lacking, *([str(found.stale)] if found.stale else [])]
        session.report.debug(
            f"{name}: of {found.kind}, {len(found.present)} modules; to be put right: {', '.join(wrong)}"
        )


def _cannot_be_changed(found: Examination) -> str:
    if found.image is None:
        why = f"cannot be read ({found.unreadable})"
    else:
        why = f"lacks {', '.join(found.lacking)}" if found.lacking else "names disks by their old names"
        why += f" and is of {found.kind}, so that it must be made anew"
    return f"{found.kernel.initramfs} in the guest {why}, and the guest has no tool to make a new one"
