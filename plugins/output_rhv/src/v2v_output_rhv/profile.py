# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest can have in oVirt, for all outputs of this distribution."""

from __future__ import annotations

from v2v_core.api import Bus, TargetProfile

#: * Buses: the disk interfaces of oVirt that the OVF can name (``ovf/disks.py``).
#: * Machines: those that the OVF can ask for (``BiosType`` in ``ovf/hardware.py``). On architectures other than x86
#:   (``virt``) the cluster chooses the machine.
#: * Disks: virt-v2v takes no more than 23 in ``-o rhv``, ``-o rhv-upload`` and ``-o vdsm``: a virtual machine of
#:   oVirt has too few PCI slots for more virtio disks (https://bugzilla.redhat.com/2051564).
#: * Serial console: oVirt has none unless the administrator adds one to the virtual machine.
PROFILE = TargetProfile(
    buses=(Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SATA, Bus.IDE),
    machines=("q35", "i440fx", "pc", "virt"),
    most_disks=23,
    serial_console=False,
)
