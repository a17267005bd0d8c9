# SPDX-License-Identifier: GPL-2.0-or-later
"""The interface of the tools that make initramfs images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.kinds import Kind


@dataclass(frozen=True)
class Job:
    """One image to make.

    :param program: the path of the tool. :param version: the name of the kernel's module directory.
    :param kernel: the path of the kernel image.
    :param modules: the drivers to include. The kernel has all of them as modules.
    :param initramfs: the path of the current image.
    :param output: the path to write to, for tools that have an option for it.
    :param root: a device name of the root file system that is valid in the appliance and on KVM, or "".
    :param major: the major version of the distribution, or 0 if unknown.
    """

    program: str
    version: str
    kernel: str
    modules: tuple[str, ...]
    initramfs: str
    output: str
    root: str = ""
    major: int = 0


@dataclass(frozen=True)
class Command:
    """A command that makes an image.

    :param settings: the contents, by path, of files that exist only while it runs.
    :param loads: modules to load into the appliance's own kernel before; failing to load them is ignored.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, bytes] = field(default_factory=dict)
    loads: tuple[str, ...] = ()


class Generator(Protocol):
    """A tool that makes images.

    :param kind: the kind of its images. :param package: the package that contains it, for a hint.
    :param families: the families of distributions that have it. In other families, a program of this name is
        a different tool. :param programs: the possible paths. :param takes_output: whether it has an option for the
        path of the image.
    """

    kind: Kind
    package: str
    families: frozenset[Family]
    programs: tuple[str, ...]
    takes_output: bool

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Change the tool's configuration so that the guest's later images contain the drivers, too.

        :raises ConversionError: a file cannot be written.
        """

    def prepare(self, files: GuestFiles) -> None:
        """Make the changes in the guest that the tool needs to run in the appliance.

        :raises ConversionError: a file cannot be written.
        """

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Return the commands that make an image, in the order in which to try them."""
