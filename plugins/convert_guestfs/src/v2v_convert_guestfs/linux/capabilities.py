# SPDX-License-Identifier: GPL-2.0-or-later
"""What the chosen kernel can drive is what the guest gets."""

from __future__ import annotations

from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_core.api import Bus, Capabilities, Inspection

#: The oldest Linux that is given a Q35 machine: that of RHEL 7; SLES 12, Debian 8 and Ubuntu 14 have newer ones.
_Q35_SINCE = "3.10"
_X86 = frozenset({"i386", "i486", "i586", "i686", "x86_64"})


def capabilities_of(kernel: Kernel, inspection: Inspection) -> Capabilities:
    """Work out the hardware for a guest by its kernel; what the distribution is called does not matter."""
    # 64 bit kernels run on 32 bit systems; it is the kernel that needs the processor.
    arch = kernel.arch if inspection.arch in _X86 and kernel.arch == "x86_64" else inspection.arch
    machine = ("q35" if kernel.at_least(_Q35_SINCE) else "i440fx") if arch in _X86 else "virt"
    return Capabilities(
        block_bus=Bus.VIRTIO_BLK if drives_virtio_disks(kernel) else Bus.SATA if machine == "q35" else Bus.IDE,
        net_model="virtio" if kernel.drives("virtio_net") else "e1000",
        machine=machine,
        arch=arch,
        virtio_rng=kernel.drives("virtio_rng"),
        virtio_balloon=kernel.drives("virtio_balloon"),
        virtio_socket=kernel.drives("vmw_vsock_virtio_transport"),
        isa_pvpanic=kernel.drives("pvpanic"),
        virtio_1_0=kernel.knows_virtio_1,
        rtc_utc=True,
    )


def drives_virtio_disks(kernel: Kernel) -> bool:
    """Tell whether a kernel can boot from a virtio disk."""
    return kernel.drives("virtio_blk") and kernel.drives("virtio_pci")
