# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v inspect --deep`` says about a kernel: where each driver for the target is."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.linux.kernel_findings import describe_kernels
from v2v_convert_guestfs.linux.kernels import Kernel, parse_modules
from v2v_core.api import DriverPlace

BLK, PCI, NET = "kernel/virtio_blk.ko", "kernel/virtio_pci.ko", "kernel/virtio_net.ko"
#: virtio_pci requires virtio_ring, as in the kernels of distributions.
MODULES = f"{BLK}:\n{PCI}: kernel/virtio_ring.ko\nkernel/virtio_ring.ko:\n{NET}:\n".encode()


def kernel_of(modules: bytes = MODULES, **config: str) -> Kernel:
    return Kernel("5.4.0", "/boot/vmlinuz-5.4.0", "/lib/modules/5.4.0", "/boot/i", parse_modules(modules, b""), config)


@pytest.mark.parametrize(
    ("kernel", "present", "places"),
    [
        (kernel_of(b"", VIRTIO_BLK="y", VIRTIO_PCI="y", VIRTIO_NET="y"), set(), ["built-in", "built-in", "built-in"]),
        (kernel_of(), {"virtio_blk", "virtio_pci", "virtio_ring"}, ["initramfs", "initramfs", "module"]),
        # The module is in the initramfs, but not what it requires, so it cannot be loaded there.
        (kernel_of(), {"virtio_blk", "virtio_pci"}, ["module", "initramfs", "module"]),
        (kernel_of(), set(), ["module", "module", "module"]),
        (kernel_of(f"{NET}:\n".encode()), set(), ["missing", "missing", "module"]),
    ],
)
def test_places_of_drivers(kernel: Kernel, present: set[str], places: list[str]) -> None:
    examined = Examination(kernel, present=frozenset(present))
    (found,) = describe_kernels([kernel], bootable=[kernel], default=kernel, examinations=[examined])
    assert dict(found.drivers) == dict(zip(("virtio_pci", "virtio_blk", "virtio_net"), places, strict=True))
    assert found.drives_target is (DriverPlace.MISSING not in dict(found.drivers).values())
    assert (found.in_boot_menu, found.default, found.chosen) == (True, True, False)


def test_the_image_that_boots_is_the_one_that_counts() -> None:
    """systemd-boot loads a copy; the original is examined as well, and comes later."""
    kernel = kernel_of()
    copy = Examination(kernel, present=frozenset({"virtio_blk"}))
    original = Examination(kernel, present=frozenset())
    (found,) = describe_kernels([kernel], bootable=[], default=None, examinations=[copy, original])
    assert dict(found.drivers)["virtio_blk"] is DriverPlace.INITRAMFS
    assert not found.in_boot_menu
