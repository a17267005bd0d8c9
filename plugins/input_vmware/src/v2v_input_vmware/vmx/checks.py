# SPDX-License-Identifier: GPL-2.0-or-later
"""What is checked of a VMX file before its disks are opened: that it is one, and that it names no file elsewhere."""

from __future__ import annotations

from pathlib import Path

from v2v_core.api import SourceError
from v2v_input_vmware.vmx.guest import VmxDisk
from v2v_input_vmware.vmx.syntax import Vmx

#: Bytes of a VMX file; real ones have 3 to 10 thousand.
LIMIT = 1024 * 1024


def read(path: Path) -> bytes:
    """Read a local VMX file.

    :raises SourceError: it cannot be read, or is something else.
    """
    try:
        if not path.is_file():
            raise SourceError(
                f"{path} is not a file" if path.exists() else f"{path}: there is no such file",
                hint="name the .vmx file of the guest",
            )
        with path.open("rb") as stream:
            data = stream.read(LIMIT + 1)
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}", hint="make it readable for this user") from err
    check_is_vmx(data, str(path))
    return data


def check_link(path: Path) -> None:
    """Check that a VMX file is no link out of its directory, whose lines would be shown where they are not understood.

    :raises SourceError: it is one.
    """
    if path.is_symlink() and not _lies_in(path, path.parent):
        raise SourceError(
            f"{path} is a link that leads out of its directory",
            hint="name the VMX file itself; if you trust it, add: -io allow-external-files",
        )


def check_is_vmx(data: bytes, path: str) -> None:
    """Check that a file is text of the size of a VMX file.

    :raises SourceError: it is something else.
    """
    if data.startswith((b"VMDK", b"KDMV", b"COWD", b"# Disk DescriptorFile")):
        raise SourceError(f"{path} is a disk, and not a VMX file", hint="name the .vmx file that lies beside it")
    if len(data) > LIMIT or b"\0" in data:
        raise SourceError(f"{path} is not a VMX file", hint="name the .vmx file of the guest")


def check_content(vmx: Vmx, disks: tuple[VmxDisk, ...], path: str) -> None:
    """Check that a VMX file has settings and disks.

    :raises SourceError: it has none.
    """
    if not vmx.values:
        raise SourceError(f"{path} is not a VMX file: nothing in it is understood", hint="name the .vmx file itself")
    if not disks and vmx.get("encryption.data") is not None:
        raise SourceError(f"{path} is encrypted", hint="remove the encryption in VMware, and convert it then")
    if not disks:
        raise SourceError(
            f"{path} names no disk", hint="check that it is the whole file: disks are lines as scsi0:0.fileName"
        )


def check_place(directory: Path, disk: VmxDisk) -> None:
    """Check that a disk lies in the directory of its VMX file or below it, all links followed.

    :raises SourceError: it lies elsewhere.
    """
    if not _lies_in(directory / disk.file, directory):
        raise SourceError(
            f"the disk {disk.device} of the VMX file, {disk.file}, lies outside {directory}",
            hint="if you trust the VMX file, add: -io allow-external-files",
        )


def check_name(disk: VmxDisk) -> None:
    """Check that the file of a disk on a server has a name that can be asked for.

    :raises SourceError: it has control characters.
    """
    if any(ord(char) < 32 for char in disk.file):
        raise SourceError(
            f"the disk {disk.device} has control characters in its name, {disk.file!r}", hint="correct the VMX file"
        )


def _lies_in(path: Path, directory: Path) -> bool:
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):
        # a loop of links, or a name that no file can have
        return False
