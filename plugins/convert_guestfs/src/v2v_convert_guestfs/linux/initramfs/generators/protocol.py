# SPDX-License-Identifier: GPL-2.0-or-later
"""What every tool that makes images can be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux.families import Family
from v2v_convert_guestfs.linux.initramfs.kinds import Kind


@dataclass(frozen=True)
class Job:
    """One image to be made.

    :param version: the name of the kernel's directory of modules. :param kernel: the path of the kernel.
    :param modules: the drivers that it shall have, all of which the kernel has as modules.
    :param initramfs: where the image is. :param output: where the tool shall write, if it can be told.
    :param root: the root file system, by a name that is the same in the appliance and on KVM, or "".
    :param major: the version of the distribution.
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
    """One way to make it.

    :param settings: files that are there while it runs, by path. :param loads: modules for the appliance's own kernel,
        which the tool makes use of; it may do without.
    """

    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, bytes] = field(default_factory=dict)
    loads: tuple[str, ...] = ()


class Generator(Protocol):
    """A tool that makes images.

    :param kind: of its images. :param package: what it comes in, for a hint.
    :param families: of the distributions that have it; where another family has a program of the same name, it is
        another tool. :param takes_output: whether it can be told where to write.
    """

    kind: Kind
    package: str
    families: frozenset[Family]
    programs: tuple[str, ...]
    takes_output: bool

    def configure(self, files: GuestFiles, modules: Sequence[str]) -> None:
        """Have the drivers in the guest's next images as well.

        :raises ConversionError: a file cannot be written.
        """

    def prepare(self, files: GuestFiles) -> None:
        """Change what has to be changed in the guest before the tool is run in the appliance.

        :raises ConversionError: a file cannot be written.
        """

    def commands(self, job: Job) -> tuple[Command, ...]:
        """Give the ways to make an image, the one to be tried first before the others."""
