# SPDX-License-Identifier: GPL-2.0-or-later
"""Have the guest's own tool make an image anew in the appliance, and look into what it made.

The tool sees the appliance's hardware, and the appliance's names of disks, which need not be libguestfs's either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import family_of, release_of
from v2v_convert_guestfs.linux.initramfs.examine import WANTED, Examination, examine
from v2v_convert_guestfs.linux.initramfs.generators import Installed, find_generators, in_use, package_for
from v2v_convert_guestfs.linux.initramfs.generators.protocol import Command, Job
from v2v_convert_guestfs.linux.initramfs.placing import WHY, host_directory, place_of, take_place
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Session
from v2v_core.api import ConversionError

#: In /dev/sda2; a logical volume has one more.
_SLASHES = 2


def generator_for(session: Session, files: GuestFiles, found: Examination) -> Installed | None:
    """Choose the guest's tool for an image."""
    return in_use(find_generators(files, family_of(session.inspection.distro)), found.kind)


def maker_for(session: Session, files: GuestFiles, found: Examination) -> Installed | None:
    """Choose the guest's tool that can make an image where this one is: some know one place only."""
    installed = generator_for(session, files, found)
    at_home = place_of(files, found).rpartition("/")[0] == "/boot"
    return installed if installed is not None and (installed.generator.takes_output or at_home) else None


def missing_tool(session: Session, found: Examination) -> str:
    """Say what to install in a guest without a tool."""
    return f"install {package_for(family_of(session.inspection.distro), found.kind)} in the guest at its hypervisor"


def modules_of(kernel: Kernel) -> tuple[str, ...]:
    """List the drivers to add that the kernel has as modules: some tools fail over a name that they do not find."""
    return tuple(name for name in WANTED if name in kernel.modules.paths and not kernel.builds_in(name))


def configure(session: Session, files: GuestFiles, found: Examination) -> None:
    """Have the drivers in the guest's next images.

    :raises ConversionError: a file cannot be written.
    """
    installed, modules = generator_for(session, files, found), modules_of(found.kernel)
    if installed is not None and modules:
        installed.generator.configure(files, modules)


def make_anew(session: Session, files: GuestFiles, found: Examination, names: DeviceNames) -> None:
    """Run the guest's own tool, and look into what it made.

    :raises ConversionError: there is none, it failed, or it made an image that does not boot.
    """
    kernel = found.kernel
    installed = maker_for(session, files, found)
    if installed is None:
        raise ConversionError(
            f"the guest has no tool to make an initramfs for the kernel {kernel.version}",
            hint=missing_tool(session, found),
        )
    configure(session, files, found)
    installed.generator.prepare(files)
    place = place_of(files, found)
    with _output(session, files, place, installed) as output:
        job = Job(
            program=installed.program,
            version=kernel.modules_directory.rpartition("/")[2],
            kernel=kernel.image,
            modules=modules_of(kernel),
            initramfs=place,
            output=output,
            root=_root(session),
            major=release_of(session.inspection),
        )
        wanted = root_modules(session)
        *firsts, last = installed.generator.commands(job)
        for command in firsts:
            try:
                new = _made(session, files, found, names, command, output)
                if lost := lost_modules(found, new, wanted):
                    raise ConversionError(f"the new initramfs has no {', '.join(lost)} any more")
                break
            except ConversionError as err:
                session.report.debug(f"{err}: trying {installed.program} again with other settings")
        else:
            new = _made(session, files, found, names, last, output)
            if lost := lost_modules(found, new, wanted):
                session.report.warning(
                    f"the new initramfs of the kernel {kernel.version} has no {', '.join(lost)} any more: "
                    "if the guest's root file system needs that, it does not boot"
                )
        kept = None
        if output != place:
            try:
                kept = take_place(session, found, place, output)
            except RuntimeError as err:
                raise ConversionError(f"{place} in the guest cannot be written: {brief(err)}") from err
    session.changed(place, f"made anew by {installed.program}" + (f"; the old one is {kept}" if kept else ""), WHY)


def root_modules(session: Session) -> frozenset[str]:
    """List the modules that the guest's root file system may be read with, wherever they are not built in."""
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
    """List those of the wanted modules that an image had, and the one that takes its place has not.

    That is how it shows that the tool did not see in the appliance what the guest's root file system is on.
    """
    return sorted((old.present - new.present) & wanted) if new.image is not None else []


def _made(
    session: Session, files: GuestFiles, found: Examination, names: DeviceNames, command: Command, output: str
) -> Examination:
    """Make an image, and look into it.

    :raises ConversionError: the tool failed, or made one that does not boot.
    """
    kernel = found.kernel
    before = _checksum(session, output)
    _run(session, files, kernel, command)
    with host_directory(session) as directory:
        new = examine(session, replace(kernel, initramfs=output), names, directory)
    if new.image is None and _checksum(session, output) == before:
        raise ConversionError(
            f"{command.argv[0]} said that it succeeded, and made no initramfs for the kernel {kernel.version}",
            hint="the log has its words; run it in the guest at its hypervisor",
        )
    if new.image is None:
        session.report.debug(f"{output} cannot be read: {new.unreadable}")
    elif not new.boots:
        raise ConversionError(
            f"the initramfs that the guest has made for the kernel {kernel.version} lacks {', '.join(new.lacking)}"
        )
    return new


def _checksum(session: Session, path: str) -> str:
    try:
        return str(session.handle.checksum("sha256", path))
    except RuntimeError:
        # It is not there yet.
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
            hint="the log has its words; run it in the guest at its hypervisor",
        ) from err
    finally:
        for path in command.settings:
            files.remove(path, what="removed", why="it was for one command only")


@contextmanager
def _output(session: Session, files: GuestFiles, place: str, installed: Installed) -> Iterator[str]:
    """Give where the tool writes: beside the old image if it can be told, so that a failure leaves that one alone."""
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
        # It is not there any more if all went well.
        with suppress(RuntimeError):
            session.handle.rm_f(output)


def _root(session: Session) -> str:
    """Name the root file system so that the name is right in the appliance and on KVM, or give ""."""
    device = session.inspection.root
    if device.startswith("btrfsvol:"):
        device = "/".join(device.removeprefix("btrfsvol:").split("/")[:3])
    try:
        if not device.startswith("/dev/mapper/") and not session.handle.is_lv(device):
            uuid = str(session.handle.vfs_uuid(device))
            device = f"/dev/disk/by-uuid/{uuid}" if uuid else ""
    except RuntimeError as err:
        session.report.debug(f"the UUID of the root file system is not known: {brief(err)}")
        return ""
    return device
