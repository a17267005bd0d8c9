# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i disk IMAGE...``: a guest of which only the disks are known."""

from __future__ import annotations

import os
import re
from pathlib import Path

from v2v_core.api import (
    IMAGE_FORMATS,
    DiskService,
    Display,
    Guest,
    InputHooks,
    InputResult,
    InputSetupRequest,
    NbdUri,
    Nic,
    PluginOption,
    SourceDisk,
    UsageError,
    describe_image,
    hookimpl,
)

_URI = re.compile(r"nbds?(\+unix|\+vsock)?:", re.ASCII)
#: Endings of file names that are not part of the name of the guest.
_SUFFIXES = (".img", ".ova", ".qcow2", ".raw", ".vmdk", ".vmx", ".vhdx", ".vdi", "-sda")


class DiskInput(InputHooks):
    """Guests from local disk images, block devices and NBD URIs."""

    api_version = 1
    summary = "local disk images (raw, qcow2, vmdk, vhdx, vdi), block devices and NBD URIs"
    options = (
        PluginOption(
            name="allow-external-files",
            help="open images whose header names other files: a backing file, an external data file, extents",
            flag=True,
        ),
    )

    @hookimpl
    def v2v_input_setup(self, request: InputSetupRequest) -> InputResult:
        """Describe a guest whose disks are the arguments, in their order."""
        if not request.arguments:
            raise UsageError(
                "-i disk is expecting a disk image, or several if the guest has several disks",
                hint="for example: virt-v2v -i disk guest.img -o local -os /var/tmp",
            )
        for option, value in (("-ic", request.connection), ("-it", request.transport), ("-ip", request.password_file)):
            if value is not None:
                raise UsageError(f"-i disk cannot be used with {option}", hint=f"leave {option} out")
        if request.format is not None and request.format not in IMAGE_FORMATS:
            raise UsageError(
                f"-if {request.format!r} is not a format that -i disk can read",
                hint=f"one of: {', '.join(IMAGE_FORMATS)}",
            )
        external = request.options.flag("allow-external-files")
        services = tuple(_describe(argument, request.format, external=external) for argument in request.arguments)
        guest = Guest(
            name=guest_name(request.arguments),
            features=("acpi", "apic", "pae"),
            display=Display(kind="window"),
            disks=tuple(
                SourceDisk(index=index, origin=argument) for index, argument in enumerate(request.arguments, start=1)
            ),
            nics=(Nic(),),
        )
        # an image says nothing about the machine that it comes from
        return InputResult(guest=guest, disks=services, assumed=("memory", "cpu", "nics"))


def guest_name(arguments: tuple[str, ...]) -> str:
    """Return a name for the guest: that of the first image file, without its usual ending."""
    for argument in arguments:
        if _URI.match(argument):
            continue
        name = Path(os.path.realpath(argument)).name if argument.endswith("/") else Path(argument).name
        for suffix in _SUFFIXES:
            if name.endswith(suffix) and name != suffix:
                return name.removesuffix(suffix)
        return name or "unknown"
    return "unknown"


def _describe(argument: str, image_format: str | None, *, external: bool) -> DiskService:
    if _URI.match(argument):
        return NbdUri(uri=argument)
    return describe_image(Path(argument).absolute(), image_format, external=external)
