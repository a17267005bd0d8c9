# SPDX-License-Identifier: GPL-2.0-or-later
"""What a converter finds when it looks into a guest: the system, its kernels, and what a conversion would do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from v2v_core.errors import Obstacle
from v2v_core.model import Capabilities, Change, Fact, Firmware, Inspection


class DriverPlace(StrEnum):
    """Where a kernel has a driver."""

    BUILT_IN = "built-in"
    #: In the initramfs, complete with what it requires.
    INITRAMFS = "initramfs"
    #: A module that the initramfs does not contain. The conversion adds it where the guest needs it to boot.
    MODULE = "module"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class KernelFound:
    """An installed kernel.

    :param drivers: pairs of a driver that it needs at the target and the place where it has this driver, before the
        conversion.
    :param in_boot_menu: the boot loader offers it. :param default: it boots now unless another is chosen in the menu.
    :param chosen: the converted guest boots it.
    """

    version: str
    drivers: tuple[tuple[str, DriverPlace], ...] = ()
    initramfs: str | None = None
    in_boot_menu: bool = False
    default: bool = False
    chosen: bool = False

    @property
    def drives_target(self) -> bool:
        """Whether it has all these drivers, wherever they are."""
        return all(place is not DriverPlace.MISSING for _, place in self.drivers)


@dataclass(frozen=True, kw_only=True)
class FilesystemFound:
    """A file system, swap area or encrypted volume.

    :param device: as the converter names it; ``/dev/sdb`` is the second disk of the guest.
    :param kind: ``ext4``, ``swap``, …; ``unknown`` if there is none.
    :param size: of the device, in bytes. :param mountpoint: where the guest mounts it.
    """

    device: str
    kind: str
    size: int | None = None
    mountpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class InspectResult:
    """What the converter found. What it could not find out, because of an obstacle, has the default.

    :param system: the operating system's name for itself.
    :param boot_loader: its name, such as ``GRUB 2``. :param boot_disk: number of the disk that it boots from, from 1.
    :param kernels: of a Linux guest. :param drivers: that a Windows guest gets for the target, in words.
    :param hypervisor_tools: packages that belong to the old hypervisor.
    :param obstacles: why the guest cannot be converted; none if it can be.
    :param capabilities: the hardware that the guest would get. :param changes: what the conversion would change.
    :param facts: what was examined in the guest after the changes.
    """

    inspection: Inspection | None = None
    system: str | None = None
    firmware: Firmware = Firmware.UNKNOWN
    boot_loader: str | None = None
    boot_disk: int | None = None
    kernels: tuple[KernelFound, ...] = ()
    drivers: tuple[str, ...] = ()
    filesystems: tuple[FilesystemFound, ...] = ()
    hypervisor_tools: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    capabilities: Capabilities | None = None
    changes: tuple[Change, ...] = ()
    facts: tuple[Fact, ...] = ()

    @property
    def convertible(self) -> bool:
        """Whether the guest can be converted."""
        return not self.obstacles
