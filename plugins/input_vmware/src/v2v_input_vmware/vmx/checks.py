# SPDX-License-Identifier: GPL-2.0-or-later
"""Check a VMX file before its disks are opened: that it is one, and that its disks lie beside it."""

from __future__ import annotations

import re
from pathlib import Path

from v2v_core.api import SourceError
from v2v_input_vmware.vmx.guest import VmxDisk
from v2v_input_vmware.vmx.syntax import Vmx

#: Bytes of a VMX file; real ones have 3 to 10 thousand.
LIMIT = 1024 * 1024


def read(path: Path) -> bytes:
    """Return the content of a local VMX file.

    :raises SourceError: the file cannot be read, or is not a VMX file.
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
    """Check that a VMX file is not a link out of its directory: warnings would show lines of the file there.

    :raises SourceError: it is such a link.
    """
    if path.is_symlink() and not _lies_in(path, path.parent):
        raise SourceError(
            f"{path} is a link that leads out of its directory",
            hint="name the VMX file itself; if you trust it, add: -io allow-external-files",
        )


def check_is_vmx(data: bytes, path: str) -> None:
    """Check that a file is a text file of a plausible size.

    :raises SourceError: it is a disk, a binary file, or too large.
    """
    if data.startswith((b"VMDK", b"KDMV", b"COWD", b"# Disk DescriptorFile")):
        raise SourceError(f"{path} is a disk, not a VMX file", hint="name the .vmx file beside it")
    if len(data) > LIMIT or b"\0" in data:
        raise SourceError(f"{path} is not a VMX file", hint="name the .vmx file of the guest")


def check_content(vmx: Vmx, disks: tuple[VmxDisk, ...], path: str) -> None:
    """Check that a VMX file has settings and disks.

    :raises SourceError: it has no settings or no disks, or is encrypted.
    """
    if not vmx.values:
        raise SourceError(
            f"{path} is not a VMX file: none of its lines can be parsed", hint="name the .vmx file of the guest"
        )
    if not disks and vmx.get("encryption.data") is not None:
        raise SourceError(f"{path} is encrypted", hint="remove the encryption in VMware before converting the guest")
    if not disks:
        raise SourceError(
            f"{path} does not name a disk",
            hint='check that the file is complete: disks are lines like scsi0:0.fileName = "disk.vmdk"',
        )


def check_place(directory: Path, disk: VmxDisk) -> None:
    """Check that a disk, with all links resolved, lies in the directory of its VMX file or below it.

    :raises SourceError: it lies elsewhere.
    """
    if not _lies_in(directory / disk.file, directory):
        raise SourceError(
            f"the disk {disk.device} of the VMX file, {disk.file}, lies outside {directory}",
            hint="if you trust the VMX file, add: -io allow-external-files",
        )


def check_exists(directory: Path, disk: VmxDisk) -> None:
    """Check that a disk is on this machine. The VMX file of a guest that was copied may name a place on its old host.

    :raises SourceError: it is not; the hint says what to write into the VMX file.
    """
    path = directory / disk.file
    try:
        if path.exists():
            return
    except (OSError, ValueError):
        # a name that is not valid for a file
        pass
    name = re.split(r"[/\\]", disk.file)[-1]
    setting = f'{disk.device}.fileName = "{name}"'
    if name == disk.file:
        raise SourceError(
            f"the disk {disk.device} of the VMX file: {path}: No such file or directory",
            hint=f"copy it and the files that belong to it into {directory}",
        )
    if name and (directory / name).is_file():
        remedy = f"if it is the one that lies beside the VMX file, write there: {setting}"
    else:
        remedy = f"copy it and the files that belong to it into {directory}, and write into the VMX file: {setting}"
    raise SourceError(
        f"the disk {disk.device} of the VMX file, {disk.file}: there is no such file on this machine",
        hint=f"{remedy}; or read the guest from its ESXi host, with -it ssh",
    )


def check_name(disk: VmxDisk) -> None:
    """Check the name of a disk's file on a server.

    :raises SourceError: it contains control characters.
    """
    if any(ord(char) < 32 for char in disk.file):
        raise SourceError(
            f"the disk {disk.device} has control characters in its name, {disk.file!r}", hint="correct the VMX file"
        )


def _lies_in(path: Path, directory: Path) -> bool:
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):
        # a loop of links, or a name that is not valid for a file
        return False
