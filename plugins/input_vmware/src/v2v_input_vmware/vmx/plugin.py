# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vmx FILE`` and ``-i vmx -it ssh ssh://HOST/vmfs/volumes/…/guest.vmx``."""

from __future__ import annotations

from pathlib import Path

from v2v_core.api import (
    DiskService,
    InputResult,
    InputSetupRequest,
    PluginOption,
    SourceError,
    UsageError,
    describe_image,
    hookimpl,
)
from v2v_input_vmware.vmx import ssh
from v2v_input_vmware.vmx.guest import VmxDisk, guest_of
from v2v_input_vmware.vmx.syntax import Vmx, parse_vmx

#: Bytes; real ones have 3 to 10 thousand.
_LIMIT = 1024 * 1024
_IDENTITY, _KNOWN_HOSTS = "ssh-identity", "ssh-known-hosts"


class VmxInput:
    """Guests of VMware from their VMX file, on this machine or over ssh."""

    api_version = 1
    summary = "a VMX file and its disks, local or on an ESXi host (-it ssh)"
    options = (
        PluginOption(
            name="allow-external-files",
            help="open disks and extents that lie outside the directory of the VMX file",
            flag=True,
        ),
        PluginOption(name=_IDENTITY, help="with -it ssh: the file with the private key to log in with"),
        PluginOption(name=_KNOWN_HOSTS, help="with -it ssh: the file with the keys of hosts that are trusted"),
    )

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe the guest of a VMX file."""
        if len(request.arguments) != 1:
            raise UsageError(
                "-i vmx is expecting one VMX file", hint="for example: virt-v2v -i vmx guest.vmx -o local -os /var/tmp"
            )
        if request.in_place:
            raise UsageError(
                "-i vmx cannot convert in place", hint="name the disks themselves, with -i disk, or convert into a copy"
            )
        if request.format is not None or request.connection is not None:
            raise UsageError("-i vmx cannot be used with -if or -ic", hint="leave them out")
        if request.transport == "ssh":
            return _over_ssh(request)
        if request.transport is not None:
            raise UsageError(f"-i vmx does not know the transport -it {request.transport}", hint="use -it ssh, or none")
        if request.password_file is not None:
            raise UsageError("-ip is for -i vmx -it ssh", hint="leave it out for a local file")
        return _local(request)


def _local(request: InputSetupRequest) -> InputResult:
    path = Path(request.arguments[0]).absolute()
    external = request.options.flag("allow-external-files")
    if not external and path.is_symlink() and not _lies_in(path, path.parent):
        raise SourceError(
            f"{path} is a link that leads out of its directory",
            hint="name the VMX file itself; if you trust it, add: -io allow-external-files",
        )
    vmx = parse_vmx(_read(path), request.report.warning)
    guest, disks = guest_of(vmx, path.stem or "unknown", request.report.warning)
    _check(vmx, disks, str(path))
    services = tuple(_describe(path.parent, disk, external=external) for disk in disks)
    return InputResult(guest=guest, disks=services)


def _over_ssh(request: InputSetupRequest) -> InputResult:
    server = ssh.Server.of(
        request.arguments[0],
        password_file=request.password_file,
        identity=request.options.one(_IDENTITY),
        known_hosts=request.options.one(_KNOWN_HOSTS),
    )
    data = ssh.fetch(server, server.path, request.directory, limit=_LIMIT)
    _check_is_vmx(data, server.path)
    vmx = parse_vmx(data, request.report.warning)
    guest, disks = guest_of(vmx, Path(server.path).stem or "unknown", request.report.warning)
    _check(vmx, disks, server.path)
    services: list[DiskService] = []
    for disk in disks:
        if any(ord(char) < 32 for char in disk.file):
            raise SourceError(
                f"the disk {disk.device} has control characters in its name, {disk.file!r}", hint="correct the VMX file"
            )
        flat = ssh.flat_path(server.path, disk.file)
        ssh.check_exists(server, flat, disk.device, request.directory)
        services.append(ssh.service(server, flat))
    return InputResult(guest=guest, disks=tuple(services))


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise SourceError(
                f"{path} is not a file" if path.exists() else f"{path}: there is no such file",
                hint="name the .vmx file of the guest",
            )
        with path.open("rb") as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as err:
        raise SourceError(f"{path}: {err.strerror}", hint="make it readable for this user") from err
    _check_is_vmx(data, str(path))
    return data


def _check_is_vmx(data: bytes, path: str) -> None:
    if data.startswith((b"VMDK", b"KDMV", b"COWD", b"# Disk DescriptorFile")):
        raise SourceError(f"{path} is a disk, and not a VMX file", hint="name the .vmx file that lies beside it")
    if len(data) > _LIMIT or b"\0" in data:
        raise SourceError(f"{path} is not a VMX file", hint="name the .vmx file of the guest")


def _check(vmx: Vmx, disks: tuple[VmxDisk, ...], path: str) -> None:
    if not vmx.values:
        raise SourceError(f"{path} is not a VMX file: nothing in it is understood", hint="name the .vmx file itself")
    if not disks and vmx.get("encryption.data") is not None:
        raise SourceError(f"{path} is encrypted", hint="remove the encryption in VMware, and convert it then")
    if not disks:
        raise SourceError(
            f"{path} names no disk", hint="check that it is the whole file: disks are lines as scsi0:0.fileName"
        )


def _describe(directory: Path, disk: VmxDisk, *, external: bool) -> DiskService:
    path = directory / disk.file
    if not external and not _lies_in(path, directory):
        raise SourceError(
            f"the disk {disk.device} of the VMX file, {disk.file}, lies outside {directory}",
            hint="if you trust the VMX file, add: -io allow-external-files",
        )
    try:
        return describe_image(path, "vmdk", external=external, within=directory)
    except SourceError as err:
        raise SourceError(f"the disk {disk.device} of the VMX file: {err.message}", hint=err.hint) from err


def _lies_in(path: Path, directory: Path) -> bool:
    """Return whether a path leads to something in a directory when all links are followed."""
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):
        # a loop of links, or a name that no file can have
        return False
