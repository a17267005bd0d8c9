# SPDX-License-Identifier: GPL-2.0-or-later
"""The modules that kernels of different ages have."""

from __future__ import annotations

from collections.abc import Mapping

#: The drivers of virtio, as a kernel of 2008 to 2012 has them.
VIRTIO: Mapping[str, tuple[str, ...]] = {
    "drivers/virtio/virtio.ko": (),
    "drivers/virtio/virtio_ring.ko": ("virtio",),
    "drivers/virtio/virtio_pci.ko": ("virtio_ring", "virtio"),
    "drivers/virtio/virtio_balloon.ko": ("virtio_ring", "virtio"),
    "drivers/block/virtio_blk.ko": ("virtio_ring", "virtio"),
    "drivers/net/virtio_net.ko": ("virtio_ring", "virtio"),
}

#: What came in 2011 and later.
MORE_VIRTIO: Mapping[str, tuple[str, ...]] = {
    "drivers/scsi/virtio_scsi.ko": ("virtio_ring", "virtio"),
    "drivers/char/hw_random/virtio-rng.ko": ("virtio_ring", "virtio"),
}

#: The hardware that VMware shows.
VMWARE: Mapping[str, tuple[str, ...]] = {
    "drivers/scsi/scsi_mod.ko": (),
    "drivers/scsi/sd_mod.ko": ("scsi_mod",),
    "drivers/message/fusion/mptbase.ko": ("scsi_mod",),
    "drivers/message/fusion/mptscsih.ko": ("mptbase", "scsi_mod"),
    "drivers/message/fusion/mptspi.ko": ("mptscsih", "mptbase", "scsi_mod"),
    "drivers/net/e1000/e1000.ko": (),
    "fs/jbd/jbd.ko": (),
    "fs/ext3/ext3.ko": ("jbd",),
}

#: The paravirtual devices of Xen.
XEN: Mapping[str, tuple[str, ...]] = {
    "drivers/xen/blkfront/xenblk.ko": (),
    "drivers/xen/netfront/xennet.ko": (),
    "fs/jbd/jbd.ko": (),
    "fs/ext3/ext3.ko": ("jbd",),
}

#: What an installer puts into the initramfs on VMware, and what on Xen.
LOADED_ON_VMWARE = ("scsi_mod", "sd_mod", "mptbase", "mptscsih", "mptspi", "jbd", "ext3")
LOADED_ON_XEN = ("xenblk", "jbd", "ext3")


def compressed(modules: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the modules with the paths that they have where each is compressed with xz."""
    return {f"{path}.xz": required for path, required in modules.items()}
