# SPDX-License-Identifier: GPL-2.0-or-later
"""Rebuild an initramfs with the guest's own tool in the appliance, and examine the result.

The tool sees the hardware of the appliance, and the disk names that the appliance's kernel uses. These may differ even
from libguestfs's names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family, family_of, release_of
from v2v_convert_guestfs.linux.initramfs.drivers import wanted
from v2v_convert_guestfs.linux.initramfs.examine import Examination, examine
from v2v_convert_guestfs.linux.initramfs.generators import Installed, find_generators, in_use, package_for
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.kinds import Kind
from v2v_convert_guestfs.linux.initramfs.placing import WHY, host_directory, place_of, take_place
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Session
from v2v_core.api import Bus, ConversionError

#: In /dev/sda2. The path of a logical volume has more.
_SLASHES = 2


def generator_for(session: Session, files: GuestFiles, examined: Examination) -> Installed | None:
    """Return the guest's tool for an image, or None if it has none."""
    return in_use(find_generators(files, family_of(session.inspection.distro)), examined.kind)


def maker_for(session: Session, files: GuestFiles, examined: Examination) -> Installed | None:
    """Return the guest's tool that can write an image to this place, or None. Some tools write only to /boot."""
    installed = generator_for(session, files, examined)
    at_home = place_of(files, examined).rpartition("/")[0] == "/boot"
    return installed if installed is not None and (installed.generator.takes_output or at_home) else None


def missing_tool(session: Session, examined: Examination) -> str:
    """Return a hint on what to install in a guest without a tool."""
    family = family_of(session.inspection.distro)
    if family is Family.OTHER and examined.kind is Kind.UNKNOWN:
        drivers = ", ".join(examined.lacking or modules_of(examined.kernel, examined.bus))
        return f"make it with {drivers} in the guest on its source hypervisor, with the tool that made it"
    package = package_for(family, examined.kind)
    return f"install {package} in the guest on its source hypervisor"


def modules_of(kernel: Kernel, bus: Bus = Bus.VIRTIO_BLK) -> tuple[str, ...]:
    """Return the drivers to add that the kernel has as modules. Some tools fail if they do not find a module."""
    return tuple(name for name in wanted(kernel, bus) if name in kernel.modules.paths and not kernel.builds_in(name))


def configure(session: Session, files: GuestFiles, examined: Examination) -> None:
    """Configure the guest's tool to include the drivers in all images that it makes later.

    :raises ConversionError: a file cannot be written.
    """
    installed, modules = generator_for(session, files, examined), modules_of(examined.kernel, examined.bus)
    if installed is not None and modules:
        installed.generator.configure(files, modules)


def make_anew(session: Session, files: GuestFiles, examined: Examination, names: DeviceNames) -> None:
    """Rebuild an image with the guest's own tool, and examine the result.

    :raises ConversionError: the guest has no tool, the tool failed, or its image does not boot.
    """
    kernel = examined.kernel
    installed = maker_for(session, files, examined)
    if installed is None:
        raise ConversionError(
            f"the guest has no tool to make an initramfs for the kernel {kernel.version}",
            hint=missing_tool(session, examined),
        )
    configure(session, files, examined)
    installed.generator.prepare(files)
    place = place_of(files, examined)
    with _output(session, files, place, installed) as output:
        job = Job(
            program=installed.program,
            version=kernel.modules_directory.rpartition("/")[2],
            kernel=kernel.image,
            modules=modules_of(kernel, examined.bus),
            initramfs=place,
            output=output,
            root=_root(session),
            major=release_of(session.inspection),
        )
        for_root = root_modules(session)
        *firsts, last = installed.generator.commands(job)
        for command in firsts:
            try:
                new = _made(session, files, examined, names, command, output)
                if lost := lost_modules(examined, new, for_root):
                    raise ConversionError(f"the new initramfs no longer has {', '.join(lost)}")
                break
            except ConversionError as err:
                session.report.debug(f"{err}: trying {installed.program} again with other settings")
        else:
            new = _made(session, files, examined, names, last, output)
            if lost := lost_modules(examined, new, for_root):
                session.report.warning(
                    f"the new initramfs of the kernel {kernel.version} no longer has {', '.join(lost)}: "
                    "if the guest's root file system needs it, the guest does not boot"
                )
        kept = None
        if output != place:
            try:
                kept = take_place(session, examined, place, output)
            except RuntimeError as err:
                raise ConversionError(f"{place} in the guest cannot be written: {brief(err)}") from err
    session.changed(place, f"rebuilt by {installed.program}" + (f"; the old one is {kept}" if kept else ""), WHY)


def root_modules(session: Session) -> frozenset[str]:
    """Return the modules that the guest's root file system may need, unless they are built in."""
    root = session.inspection.root
    if root.startswith("btrfsvol:"):
        return frozenset({"btrfs"})
    modules = {session.filesystems.get(root, "")}
    if root.startswith("/dev/mapper/") or root.count("/") > _SLASHES:
        modules.add("dm_mod")
        if "crypto_LUKS" in session.filesystems.values():
            modules.add("dm_crypt")
    if re.match(r"/dev/md\d", root):
        modules |= {"raid0", "raid1", "raid456", "raid10"}
    return frozenset(modules)


def lost_modules(old: Examination, new: Examination, wanted: frozenset[str]) -> list[str]:
    """Return the wanted modules that the old image has and the new one does not.

    They are missing if the tool did not recognise, in the appliance, the device of the guest's root file system.
    """
    return sorted((old.present - new.present) & wanted) if new.image is not None else []


def _made(
    session: Session, files: GuestFiles, examined: Examination, names: DeviceNames, command: Command, output: str
) -> Examination:
    """Make an image with one command, and examine it.

    :raises ConversionError: the tool failed, or its image does not boot.
    """
    kernel = examined.kernel
    before = _checksum(session, output)
    _run(session, files, kernel, command)
    with host_directory(session) as directory:
        new = examine(session, replace(kernel, initramfs=output), names, directory, examined.bus)
    if new.image is None and _checksum(session, output) == before:
        raise ConversionError(
            f"{command.argv[0]} reported success, but made no initramfs for the kernel {kernel.version}",
            hint="read its output in the log; run it in the guest on its source hypervisor",
        )
    if new.image is None:
        session.report.debug(f"{output} cannot be read: {new.unreadable}")
    elif not new.boots:
        raise ConversionError(
            f"the initramfs that the guest's tool made for the kernel {kernel.version} lacks {', '.join(new.lacking)}"
        )
    return new


def _checksum(session: Session, path: str) -> str:
    try:
        return str(session.handle.checksum("sha256", path))
    except RuntimeError:
        # The file does not exist yet.
        return ""


def _run(session: Session, files: GuestFiles, kernel: Kernel, command: Command) -> None:
    for name in command.loads:
        with suppress(RuntimeError):
            session.handle.modprobe(name)
    try:
        for path, content in command.settings.items():
            files.create(path, content, mode=0o644, what="created", why="for the next command only")
        session.run(command.argv, command.environment)
    except RuntimeError as err:
        raise ConversionError(
            f"{command.argv[0]} failed in the guest for the kernel {kernel.version}: {brief(err)}",
            hint="read its output in the log; run it in the guest on its source hypervisor",
        ) from err
    finally:
        for path in command.settings:
            files.remove(path, what="removed", why="it was for one command only")


@contextmanager
def _output(session: Session, files: GuestFiles, place: str, installed: Installed) -> Iterator[str]:
    """Yield the path that the tool writes to.

    This is a temporary file beside the old image, so that a failure leaves the old one intact. If the tool has no
    option for the path, this is the old image itself.
    """
    if not installed.generator.takes_output:
        yield place
        return
    try:
        output = files.temporary_beside(place)
    except RuntimeError as err:
        raise ConversionError(f"{place} in the guest cannot be written: {brief(err)}") from err
    try:
        yield output
    finally:
        # After a success it has been renamed.
        with suppress(RuntimeError):
            session.handle.rm_f(output)


def _root(session: Session) -> str:
    """Return a device name of the root file system that is valid in the appliance and on KVM, or ""."""
    device = session.inspection.root
    if device.startswith("btrfsvol:"):
        device = "/".join(device.removeprefix("btrfsvol:").split("/")[:3])
    try:
        if not device.startswith("/dev/mapper/") and not session.handle.is_lv(device):
            uuid = str(session.handle.vfs_uuid(device))
            device = f"/dev/disk/by-uuid/{uuid}" if uuid else ""
    except RuntimeError as err:
        session.report.debug(f"the UUID of the root file system is unknown: {brief(err)}")
        return ""
    return device
