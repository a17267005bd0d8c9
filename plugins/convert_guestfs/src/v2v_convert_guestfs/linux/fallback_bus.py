# SPDX-License-Identifier: GPL-2.0-or-later
"""Choose the disks' bus for a kernel without virtio drivers: one that it has drivers for and can boot from.

The initramfs may lack a driver that the kernel has: an installer includes only the drivers of the hardware that it
sees. The bus that the age of the kernel suggests comes first, if its drivers are there or can be added, and then the
other one. Old machines (i440fx) have IDE disks, new ones (q35) SATA disks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from v2v_convert_guestfs.linux.initramfs.drivers import builds_in_all_for, can_boot_from, essential, incomplete, label
from v2v_convert_guestfs.linux.initramfs.examine import Examination
from v2v_convert_guestfs.linux.kernels import Kernel
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, Capabilities

#: The machine type for disks on each bus.
_MACHINES = {Bus.SATA: "q35", Bus.IDE: "i440fx"}


def choose_without_initramfs(session: Session, kernel: Kernel, suggested: Capabilities) -> Capabilities:
    """Return the hardware with a bus whose drivers are built into a kernel that boots without an initramfs.

    If there is none, or that of the suggested hardware will do, it stays as it is.
    """
    if suggested.machine not in _MACHINES.values() or builds_in_all_for(kernel, suggested.block_bus):
        return suggested
    for bus in (Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SATA, Bus.IDE):
        if builds_in_all_for(kernel, bus):
            session.report.info(
                f"The guest gets {bus.value.upper()} disks, because the kernel {kernel.version} boots without an "
                f"initramfs and has no other drivers for disks built in"
            )
            return replace(suggested, block_bus=bus, machine=_MACHINES.get(bus, suggested.machine))
    return suggested


def choose(
    session: Session,
    kernel: Kernel,
    suggested: Capabilities,
    blockers: Blockers,
    *,
    examine: Callable[[], Examination | None],
    can_make: Callable[[Examination], bool],
) -> Capabilities:
    """Return the hardware with a bus that the kernel can boot from. If there is none, add a blocker.

    :param suggested: the hardware by the age of the kernel.
    :param examine: examines the kernel's initramfs; None if it has none.
    :param can_make: returns whether the initramfs can be changed or made anew.
    """
    bus = suggested.block_bus
    if suggested.machine not in _MACHINES.values() or bus not in _MACHINES:
        return suggested
    known = bool(kernel.modules.paths and (kernel.modules.builtin or kernel.config))
    buses = [bus, *(other for other in _MACHINES if other is not bus)]
    possible = [other for other in buses if can_boot_from(kernel, other) or not known]
    if not possible:
        blockers.add(
            f"the kernel {kernel.version} of the guest has no drivers for disks of KVM: neither for virtio nor for "
            + " nor for ".join(f"{label(other)} ({', '.join(essential(kernel, other))})" for other in buses),
            "install a kernel with virtio drivers in the guest on its source hypervisor",
        )
        return suggested
    examined = examine()
    chosen = possible[0]
    if examined is not None and examined.image is not None and not can_make(examined):
        complete = (other for other in possible if not _lacking(kernel, other, examined))
        # If there is none, the examination of the initramfs reports what is missing.
        chosen = next(complete, chosen)
    if chosen is not bus:
        session.report.info(
            f"The guest gets {label(chosen)} disks, because the kernel {kernel.version} cannot boot from "
            f"{label(bus)} disks"
        )
    return replace(suggested, block_bus=chosen, machine=_MACHINES[chosen])


def _lacking(kernel: Kernel, bus: Bus, examined: Examination) -> tuple[str, ...]:
    return incomplete(kernel, essential(kernel, bus, examined.present), examined.present)
