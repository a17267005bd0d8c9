# SPDX-License-Identifier: GPL-2.0-or-later
"""Make every kernel in the boot menu reach its disks: examine its initramfs, change it if needed, and check it."""

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
from v2v_convert_guestfs.linux import fallback_bus
from v2v_convert_guestfs.linux.initramfs.blacklists import look_for_blacklists
from v2v_convert_guestfs.linux.initramfs.cpio import ArchiveError
from v2v_convert_guestfs.linux.initramfs.drivers import can_boot_from, essential, label
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine, examine_file
from v2v_convert_guestfs.linux.initramfs.extend import extend
from v2v_convert_guestfs.linux.initramfs.placing import free_space, host_directory, size_estimate, upload
from v2v_convert_guestfs.linux.initramfs.rebuild import configure, make_anew, maker_for, missing_tool
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, Capabilities, ConversionError

_MIB = 1024 * 1024
#: Bytes that the images of all kernels may take on this host, including their expanded contents.
_HOST_LIMIT = 2048 * _MIB


@dataclass
class InitramfsWork:
    """The examined images, that of the default kernel first, and the directories on the host that contain them."""

    examinations: list[Examination]
    directories: list[Path]

    def carry(self, files: Mapping[str, bytes], driver: str) -> None:
        """Add files of the guest to the images that have the NIC driver, where udev names the NICs.

        A NIC that gets another name in the initramfs is renamed later only by systemd 240 or newer, and only while the
        NIC is down.
        """
        self.examinations = [
            replace(examined, carried=dict(files))
            if files and examined.image and (driver in examined.present or examined.kernel.builds_in(driver))
            else examined
            for examined in self.examinations
        ]

    def discard(self) -> None:
        """Remove the images from the host."""
        for directory in self.directories:
            shutil.rmtree(directory, ignore_errors=True)


def choose_fallback_bus(
    session: Session, files: GuestFiles, kernel: Kernel, suggested: Capabilities, blockers: Blockers
) -> Capabilities:
    """Return the hardware with a bus that a kernel can boot from, by its initramfs, if virtio is not one."""
    if kernel.initramfs is None:
        suggested = fallback_bus.choose_without_initramfs(session, kernel, suggested)
    if suggested.block_bus not in {Bus.SATA, Bus.IDE}:
        return suggested

    def look() -> Examination | None:
        if kernel.initramfs is None:
            return None
        with host_directory(session) as directory:
            return examine(session, kernel, DeviceNames.of((), "sd"), directory, suggested.block_bus)

    return fallback_bus.choose(
        session,
        kernel,
        suggested,
        blockers,
        examine=look,
        can_make=lambda examined: examined.extendable or maker_for(session, files, examined) is not None,
    )


def examine_kernels(
    session: Session,
    files: GuestFiles,
    kernels: Sequence[Kernel],
    names: DeviceNames,
    blockers: Blockers,
    bus: Bus = Bus.VIRTIO_BLK,
) -> InitramfsWork:
    """Examine the initramfs of each kernel, and add a blocker if that of the first kernel cannot be changed.

    :param kernels: the default kernel first. :param bus: that the target's disks are on.
    """
    work = InitramfsWork([], [])
    if kernels:
        _warn_of_drivers(session, kernels[0], bus)
        look_for_blacklists(session, files, kernels[0], blockers, bus)
    taken = 0
    for number, kernel in enumerate(kernels):
        if taken > _HOST_LIMIT:
            session.report.warning(
                f"the initramfs images of {len(kernels) - number} more kernels are not examined, because the others "
                f"already take {taken // _MIB} MB: those kernels may not boot from {label(bus)} disks"
            )
            break
        if kernel.initramfs is None:
            if number == 0 and not all(kernel.builds_in(name) for name in essential(kernel, bus)):
                session.report.warning(
                    f"the kernel {kernel.version} has no initramfs and its {label(bus)} drivers are modules: "
                    "it may not boot"
                )
            continue
        directory = Path(tempfile.mkdtemp(prefix="initramfs-", dir=session.request.temporary))
        work.directories.append(directory)
        examined = examine(session, kernel, names, directory, bus)
        if examined.image is None:
            # An unreadable image is not used any more, and what was expanded of it may be huge.
            shutil.rmtree(directory, ignore_errors=True)
        taken += sum(path.stat().st_size for path in directory.glob("*"))
        work.examinations.append(examined)
        _report(session, examined)
        if number == 0 and not examined.is_fine:
            place = kernel.initramfs.rpartition("/")[0]
            free, needed = free_space(session, kernel.initramfs), size_estimate(examined)
            if free < needed:
                blockers.add(
                    f"{place} in the guest has {free // _MIB} MB of free space, but the new initramfs of the kernel "
                    f"{kernel.version} needs {needed // _MIB} MB",
                    "remove old kernels from the guest with its package manager",
                )
            if not examined.extendable and maker_for(session, files, examined) is None:
                blockers.add(_cannot_be_changed(examined), missing_tool(session, examined))
    return work


def update(session: Session, files: GuestFiles, work: InitramfsWork, names: DeviceNames) -> None:
    """Change the images that need it, and configure the guest so that its later images are right, too.

    :raises ConversionError: the image of the default kernel cannot be changed.
    """
    not_booting = [examined for examined in work.examinations if not examined.boots]
    if not_booting:
        configure(session, files, not_booting[0])
    for number, examined in enumerate(work.examinations):
        if examined.is_fine:
            if examined.carried:
                _carry(session, files, examined, names)
            continue
        image = str(examined.kernel.initramfs)
        if number > 0 and free_space(session, image) < size_estimate(examined):
            session.report.warning(
                f"the guest has no space to rebuild {image} of the kernel {examined.kernel.version}: "
                f"that kernel will not boot from {label(examined.bus)} disks"
            )
            continue
        try:
            _update_one(session, files, examined, names)
        except ConversionError as err:
            if number == 0:
                raise
            session.report.warning(
                f"the kernel {examined.kernel.version} will not boot from {label(examined.bus)} disks: {err}"
            )


def _update_one(session: Session, files: GuestFiles, examined: Examination, names: DeviceNames) -> None:
    started = time.monotonic()
    with host_directory(session) as directory:
        target = directory / "initramfs.new"
        try:
            extend(session, examined, target)
            new = examine_file(examined.kernel, target, names, directory, examined.bus)
            if not new.is_fine:
                raise ArchiveError(f"after the change it still {_problem(new)}")
        except (ArchiveError, OSError, RuntimeError) as err:
            session.report.info(
                f"The guest's own tool rebuilds the initramfs of the kernel {examined.kernel.version}: {brief(err)}"
            )
            make_anew(session, files, examined, names)
        else:
            upload(session, files, examined, target)
    session.report.debug(f"initramfs of {examined.kernel.version}: {time.monotonic() - started:.1f} s")


def _carry(session: Session, files: GuestFiles, examined: Examination, names: DeviceNames) -> None:
    """Add files to an image that already boots. If that fails, warn and keep the image."""
    examined = replace(examined, lacking=())
    if not examined.extendable:
        session.report.debug(f"{examined.kind} made {examined.kernel.initramfs}: names of NICs are not added to it")
        return
    try:
        if free_space(session, str(examined.kernel.initramfs)) < size_estimate(examined):
            raise ArchiveError("there is not enough space for it")
        with host_directory(session) as directory:
            target = directory / "initramfs.new"
            extend(session, examined, target)
            new = examine_file(examined.kernel, target, names, directory, examined.bus)
            if not new.is_fine or new.present != examined.present:
                raise ArchiveError("it was damaged by the change")
            upload(session, files, examined, target)
    except (ArchiveError, OSError, RuntimeError, ConversionError) as err:
        session.warn(
            f"the initramfs of the kernel {examined.kernel.version} does not contain the names of NICs, so they get "
            "their names only later in the boot; rebuild the initramfs in the converted guest to correct this",
            err,
        )


def _warn_of_drivers(session: Session, kernel: Kernel, bus: Bus) -> None:
    """Warn if the kernel has no driver for the bus, as far as that is known: old kernels do not list built-in ones."""
    known = kernel.modules.paths and (kernel.modules.builtin or kernel.config)
    if known and not can_boot_from(kernel, bus):
        session.report.warning(
            f"the kernel {kernel.version} has no drivers for {label(bus)} disks "
            f"({', '.join(essential(kernel, bus))}): the guest may not boot"
        )


def _report(session: Session, examined: Examination) -> None:
    name = examined.kernel.initramfs
    if examined.image is None:
        session.report.debug(f"{name} cannot be read: {examined.unreadable}")
    elif examined.is_fine:
        session.report.info(
            f"The initramfs of the kernel {examined.kernel.version} already has the {label(examined.bus)} drivers"
        )
    else:
        wrong = [*examined.lacking, *([str(examined.stale)] if examined.stale else [])]
        session.report.debug(
            f"{name}: made by {examined.kind}, {len(examined.present)} modules; to be corrected: {', '.join(wrong)}"
        )


def _cannot_be_changed(examined: Examination) -> str:
    why = _problem(examined)
    if examined.image is not None:
        why += f" and was made by {examined.kind}, so it must be rebuilt"
    return f"{examined.kernel.initramfs} in the guest {why}, and the guest has no tool to rebuild it"


def _problem(examined: Examination) -> str:
    if examined.image is None:
        return f"cannot be read ({examined.unreadable})"
    return f"lacks {', '.join(examined.lacking)}" if examined.lacking else "names disks by their old names"
