# SPDX-License-Identifier: GPL-2.0-or-later
"""Flatcar and CoreOS Container Linux: /usr is an image with a checksum, and the initramfs is part of the kernel.

None of that can be changed, nor has to be: their kernels have drivers for KVM. So such a guest is handed over as it is.
"""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import distribution
from v2v_convert_guestfs.linux.capabilities import capabilities_of
from v2v_convert_guestfs.linux.kernel_images import what_is_there
from v2v_convert_guestfs.linux.kernels import find_kernels
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, Capabilities


def hand_over(session: Session, files: GuestFiles, blockers: Blockers) -> Capabilities:
    """Return the hardware for the guest, and change nothing in it.

    :raises ConversionError: there is an obstacle: the kernel is not found, or has no virtio drivers.
    """
    name = distribution.pretty_name(files) or session.inspection.distro
    kernels = find_kernels(session, files)
    capabilities = capabilities_of(kernels[0], session.inspection) if kernels else None
    if capabilities is None:
        blockers.add(
            f"no kernel of {name} was found whose modules are in /lib/modules{what_is_there(files)}",
            "check that every disk of the guest was given",
        )
    elif capabilities.block_bus not in {Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI}:
        blockers.add(
            f"the kernel {kernels[0].version} of {name} has no virtio drivers for disks, and it cannot be changed",
            "update the guest on its source hypervisor",
        )
    blockers.stop()
    assert capabilities is not None  # noqa: S101 - otherwise there was an obstacle
    session.report.warning(
        f"{name} boots from an image, so nothing was changed in it: its kernel {kernels[0].version} has virtio "
        "drivers. If it was made for another hypervisor, set oem_id in grub.cfg on its OEM partition to qemu"
    )
    return capabilities
