# SPDX-License-Identifier: GPL-2.0-or-later
"""What the chosen kernel can drive is what the guest gets."""

from __future__ import annotations

from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_core.api import Bus, Capabilities, Inspection

#: The first major version of a distribution that knows a Q35 machine and virtio 1.0; what is not here always does.
_MODERN_SINCE = {"debian": 8, "ubuntu": 14, "rhel": 7, "centos": 7, "oraclelinux": 7, "scientificlinux": 7, "sles": 12}
_X86 = frozenset({"i386", "i486", "i586", "i686", "x86_64"})


def capabilities_of(kernel: Kernel, inspection: Inspection) -> Capabilities:
    """Work out the hardware for a guest by its kernel and distribution."""
    modern = inspection.major_version >= _MODERN_SINCE.get(inspection.distro, 0) or inspection.major_version == 0
    machine = ("q35" if modern else "i440fx") if inspection.arch in _X86 else "virt"
    return Capabilities(
        block_bus=Bus.VIRTIO_BLK if drives_virtio_disks(kernel) else Bus.SATA if machine == "q35" else Bus.IDE,
        net_model="virtio" if kernel.drives("virtio_net") else "e1000",
        machine=machine,
        arch=inspection.arch,
        virtio_rng=kernel.drives("virtio_rng"),
        virtio_balloon=kernel.drives("virtio_balloon"),
        virtio_socket=kernel.drives("vmw_vsock_virtio_transport"),
        isa_pvpanic=kernel.drives("pvpanic"),
        virtio_1_0=modern,
        rtc_utc=True,
    )


def drives_virtio_disks(kernel: Kernel) -> bool:
    """Tell whether a kernel can boot from a virtio disk."""
    return kernel.drives("virtio_blk") and kernel.drives("virtio_pci")
