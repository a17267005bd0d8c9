# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel that is made the default, and the hardware that it drives."""

from __future__ import annotations

import pytest

from v2v_convert_guestfs.linux.capabilities import capabilities_of
from v2v_convert_guestfs.linux.flow import choose_kernel
from v2v_convert_guestfs.linux.kernels import Kernel, Modules
from v2v_convert_guestfs.session import Blockers
from v2v_core.api import (
    Bus,
    ConversionError,
    Inspection,
)


def kernel(version: str = "6.1.0", **config: str) -> Kernel:
    return Kernel(
        version=version,
        image=f"/boot/vmlinuz-{version}",
        modules_directory="",
        initramfs=None,
        modules=Modules(),
        config=config,
    )


VIRTIO = {"VIRTIO_PCI": "y", "VIRTIO_BLK": "y", "VIRTIO_NET": "m"}


DEBIAN = Inspection(root="/dev/sda1", os_type="linux", distro="debian", arch="x86_64", major_version=12)


def test_capabilities() -> None:
    found = capabilities_of(kernel(**VIRTIO, PVPANIC="m"), DEBIAN)
    assert (found.block_bus, found.net_model, found.machine) == (Bus.VIRTIO_BLK, "virtio", "q35")
    assert (found.isa_pvpanic, found.virtio_rng) == (True, False)
    without = capabilities_of(kernel(), DEBIAN)
    assert (without.block_bus, without.net_model) == (Bus.SATA, "e1000")


def test_the_kernel_that_is_offered_and_has_virtio_is_chosen() -> None:
    good, newer, xen = kernel(**VIRTIO), kernel("6.2.0"), kernel("7.0", X86_XEN="y")
    assert choose_kernel([good, newer], [newer], newer, Blockers()) is good
    assert choose_kernel([newer], [newer], newer, Blockers()) is newer
    blockers = Blockers()
    choose_kernel([xen], [xen], xen, blockers)
    with pytest.raises(ConversionError, match="Xen"):
        blockers.stop()


def test_a_default_kernel_that_will_do_stays_the_default() -> None:
    older, newer = kernel("6.1.0", **VIRTIO), kernel("6.2.0", **VIRTIO)
    xen = kernel("6.0.0", X86_XEN="y", **VIRTIO)
    assert choose_kernel([newer, older], [newer, older], older, Blockers()) is older
    assert choose_kernel([newer, older], [newer, older], None, Blockers()) is newer
    assert choose_kernel([newer, older, xen], [newer, older, xen], xen, Blockers()) is newer
