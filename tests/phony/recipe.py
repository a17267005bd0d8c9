# SPDX-License-Identifier: GPL-2.0-or-later
"""The records that describe a phony guest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

Style = Literal["nash", "dracut", "suse", "make-initrd", "initramfs-tools", "mkinitcpio", "mkinitfs"]
Packages = Literal["rpm", "dpkg", "apk", "pacman", "none"]


@dataclasses.dataclass(frozen=True)
class Package:
    """An installed package.

    :param files: what its database lists as its files; they are there if something else of the guest makes them.
    """

    name: str
    version: str = "1.0"
    release: str = "1"
    epoch: int = 0
    files: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Kernel:
    """An installed kernel, with its package, its modules, and its initramfs.

    :param initramfs: its file name. :param style: the tool that made it.
    :param modules: paths below /lib/modules/VERSION/kernel, each with the names of those that it requires.
    :param loaded: the names of the modules in the initramfs.
    :param config: options of /boot/config-VERSION, with their values.
    :param builtin: names in modules.builtin; None where depmod did not write that file yet.
    :param absolute: modules.dep has whole paths in it, as module-init-tools wrote them.
    :param image_name: its file name, if that does not contain the version; then only its header does.
    """

    version: str
    package: Package
    initramfs: str
    style: Style
    modules: Mapping[str, tuple[str, ...]]
    loaded: tuple[str, ...]
    config: tuple[str, ...] = ()
    builtin: tuple[str, ...] | None = None
    absolute: bool = False
    image_name: str = ""

    @property
    def image(self) -> str:
        """Return the path of the kernel."""
        return f"/boot/{self.image_name or f'vmlinuz-{self.version}'}"


@dataclasses.dataclass(frozen=True)
class Phony:
    """A guest.

    :param commands: paths of commands that are written down when they are called; ``commands`` has what they do.
    :param executables: files with this content and execution rights. :param links: targets by path.
    :param systemd: path of the program, in guests that start by it.
    :param size: of the disk, in MiB; its first partition is the root file system, its second one swap.
    """

    name: str
    packages: tuple[Package, ...]
    package_format: Packages
    kernels: tuple[Kernel, ...]
    commands: tuple[str, ...]
    files: Mapping[str, str]
    executables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)
    directories: tuple[str, ...] = ()
    merged_usr: bool = True
    systemd: str = ""
    machine: Literal["x86_64", "i686"] = "x86_64"
    filesystem: Literal["ext3", "ext4"] = "ext4"
    size: int = 280

    @property
    def all_packages(self) -> tuple[Package, ...]:
        """Return the packages, those of the kernels included."""
        return (*self.packages, *(kernel.package for kernel in self.kernels))
