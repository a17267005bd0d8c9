# SPDX-License-Identifier: GPL-2.0-or-later
"""Describe the kernels of a guest for ``v2v inspect --deep``."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.linux.initramfs.drivers import essential, incomplete
from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_core.api import Bus, DriverPlace, KernelFound

_NET = "virtio_net"


def describe_kernels(
    kernels: Sequence[Kernel],
    *,
    bootable: Sequence[Kernel],
    default: Kernel | None,
    chosen: Kernel | None = None,
    examinations: Sequence[Examination] = (),
) -> tuple[KernelFound, ...]:
    """Return what is worth knowing of each kernel.

    :param bootable: those in the boot menu. :param chosen: the one that the converted guest boots.
    :param examinations: of the initramfs images that were read.
    """
    # The boot loader may load a copy, so there can be two images for one version: the first is the one that boots.
    images = {examined.kernel.version: examined for examined in reversed(examinations)}
    return tuple(
        KernelFound(
            version=kernel.version,
            drivers=_drivers(kernel, images.get(kernel.version)),
            initramfs=kernel.initramfs,
            in_boot_menu=kernel in bootable,
            default=kernel is default,
            chosen=kernel is chosen,
        )
        for kernel in kernels
    )


def _drivers(kernel: Kernel, examined: Examination | None) -> tuple[tuple[str, DriverPlace], ...]:
    """Return the place of each driver for virtio, which is what the guest should use."""
    present = examined.present if examined is not None else frozenset()
    names = (*essential(kernel, Bus.VIRTIO_BLK, present), _NET)
    return tuple((name, _place(kernel, name, present)) for name in names)


def _place(kernel: Kernel, name: str, present: frozenset[str]) -> DriverPlace:
    if kernel.builds_in(name):
        return DriverPlace.BUILT_IN
    if not kernel.drives(name):
        return DriverPlace.MISSING
    return DriverPlace.INITRAMFS if name in present and not incomplete(kernel, (name,), present) else DriverPlace.MODULE
