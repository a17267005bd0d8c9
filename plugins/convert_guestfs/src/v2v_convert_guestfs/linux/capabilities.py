# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose the hardware of the converted guest by the drivers of its kernel."""

from __future__ import annotations

from v2v_convert_guestfs.linux.initramfs.drivers import can_boot_from
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_core.api import Bus, Capabilities, Inspection

#: The oldest Linux that gets a Q35 machine: the one of RHEL 7. SLES 12, Debian 8 and Ubuntu 14 have newer ones.
_Q35_SINCE = "3.10"
_X86 = frozenset({"i386", "i486", "i586", "i686", "x86_64"})


def capabilities_of(kernel: Kernel, inspection: Inspection) -> Capabilities:
    """Return the hardware for a guest with this kernel. The name of the distribution does not matter."""
    # A 64-bit kernel can run 32-bit programs. The processor must match the kernel.
    arch = kernel.arch if inspection.arch in _X86 and kernel.arch == "x86_64" else inspection.arch
    machine = ("q35" if kernel.at_least(_Q35_SINCE) else "i440fx") if arch in _X86 else "virt"
    return Capabilities(
        block_bus=_bus(kernel, machine),
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


def _bus(kernel: Kernel, machine: str) -> Bus:
    if drives_virtio_disks(kernel):
        return Bus.VIRTIO_BLK
    # Kernels of images for one cloud have virtio_scsi alone.
    if can_boot_from(kernel, Bus.VIRTIO_SCSI):
        return Bus.VIRTIO_SCSI
    return Bus.SATA if machine == "q35" else Bus.IDE


def drives_virtio_disks(kernel: Kernel) -> bool:
    """Return whether a kernel can boot from a virtio disk."""
    return kernel.drives("virtio_blk") and kernel.drives("virtio_pci")
