# SPDX-License-Identifier: GPL-2.0-or-later
"""Convert a Linux guest from start to end: first examine everything, then change everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from v2v_convert_guestfs import wanted_addresses
from v2v_convert_guestfs.devices import DeviceNames
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.linux import (
    block_devices,
    console,
    display,
    distribution,
    fstab_devices,
    guest_agent,
    identity,
    image_based,
    immutable,
    modprobe,
    selinux,
    tools_removal,
)
from v2v_convert_guestfs.linux.bootloader import Bootloader, find_bootloader
from v2v_convert_guestfs.linux.capabilities import capabilities_of, drives_virtio_disks
from v2v_convert_guestfs.linux.initramfs import update as initramfs
from v2v_convert_guestfs.linux.initramfs.drivers import can_boot_from
from v2v_convert_guestfs.linux.kernel_findings import describe_kernels
from v2v_convert_guestfs.linux.kernel_images import what_is_there
from v2v_convert_guestfs.linux.kernels import Kernel, find_kernels
from v2v_convert_guestfs.linux.network import keep_names
from v2v_convert_guestfs.linux.network.addresses import assign
from v2v_convert_guestfs.linux.packages import PackageManager, find_package_manager
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import Bus, Capabilities, ConversionError

#: The driver that the scsi_hostadapter alias names. Old mkinitrds read it there; they always include the IDE driver.
_BLOCK_DRIVERS = {Bus.VIRTIO_BLK: "virtio_blk", Bus.VIRTIO_SCSI: "virtio_scsi", Bus.SATA: "ahci"}


@dataclass(frozen=True)
class Plan:
    """The results of examining the guest, and the changes that follow from them.

    :param kernel: the kernel that the converted guest boots.
    """

    packages: PackageManager
    bootloader: Bootloader
    kernels: Sequence[Kernel]
    kernel: Kernel
    capabilities: Capabilities
    names: DeviceNames
    net_driver: str
    nic_names: keep_names.NicNames
    addresses: assign.Addresses
    initramfs: initramfs.InitramfsWork


def convert_linux(session: Session, blockers: Blockers) -> Capabilities:
    """Convert a Linux guest whose file systems are mounted.

    :param blockers: the obstacles collected so far.
    :raises ConversionError: there are obstacles, or a change failed.
    """
    files = GuestFiles(session)
    with session.stage("convert/look"):
        distribution.recognise(session, files)
        if session.inspection.distro in distribution.IMAGE_BASED:
            return image_based.hand_over(session, files, blockers)
        plan = _look(session, files, blockers)
    try:
        blockers.stop()
        _change(session, files, plan)
    finally:
        plan.initramfs.discard()
    bus = plan.capabilities.block_bus
    without = f"which has no virtio drivers for disks: it gets {bus.value.upper()} disks"
    session.report.info(
        f"The guest boots the kernel {plan.kernel.version}, "
        + ("which has virtio drivers" if bus in {Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI} else without)
    )
    return plan.capabilities


def _look(session: Session, files: GuestFiles, blockers: Blockers) -> Plan:
    """Examine the guest and collect obstacles, without changing anything."""
    if why_not := distribution.why_not(session, files):
        blockers.add(*why_not)
        blockers.stop()
    packages = find_package_manager(session, files, blockers)
    session.findings.tools = tuple(tools_removal.tools_installed(packages.installed)) if packages is not None else ()
    bootloader = find_bootloader(session, files, blockers)
    session.findings.boot_loader = bootloader.name if bootloader is not None else None
    kernels = find_kernels(session, files)
    session.findings.kernels = describe_kernels(kernels, bootable=(), default=None)
    if not kernels:
        blockers.add(
            f"/boot of the guest ({distribution.pretty_name(files) or session.inspection.distro}) contains no kernel "
            f"whose modules are in /lib/modules{what_is_there(files)}",
            "check that a kernel is installed, and that the guest's /boot is on one of the given disks",
        )
    immutable.check_configuration(session, files, blockers)
    if packages is None or bootloader is None or not kernels:
        blockers.stop()
        raise ConversionError("internal error: the examination of the guest failed without a reason")
    plain, kernels = kernels, bootloader.with_own_images(kernels)
    bootable, default = bootloader.bootable(kernels), bootloader.default_kernel(kernels)
    kernel = choose_kernel(kernels, bootable, default, blockers)
    capabilities = capabilities_of(kernel, session.inspection)
    capabilities = initramfs.choose_fallback_bus(session, files, kernel, capabilities, blockers)
    prefix = block_devices.prefix_of(capabilities.block_bus, session.inspection)
    known = fstab_devices.known_disks(session, files)
    names = DeviceNames.of(session.request.guest.disks, prefix, block_devices.renamed_drives(session), known)
    names = replace(names, uuids=fstab_devices.uuids_of_links(session, files, names))
    names = replace(names, volumes=block_devices.physical_volumes(session, names))
    bus = capabilities.block_bus
    others = [other for other in bootable if other is not kernel and can_boot_from(other, bus)]
    asked_for = wanted_addresses.asked_for(session)
    nic_names = keep_names.examine(session, files, assign.need_names(session, files, asked_for))
    nic_addresses = assign.examine(session, files, asked_for, nic_names.by_mac)
    # If the boot loader loads copies, the originals need the drivers, too: the guest may copy them again.
    copied = [
        other for other in plain if other not in kernels and any(other.version == k.version for k in (kernel, *others))
    ]
    work = initramfs.examine_kernels(session, files, [kernel, *others, *copied], names, blockers, bus)
    session.findings.kernels = describe_kernels(
        kernels, bootable=bootable, default=default, chosen=kernel, examinations=work.examinations
    )
    immutable.check_images(session, work, blockers)
    return Plan(
        packages=packages,
        bootloader=bootloader,
        kernels=kernels,
        kernel=kernel,
        capabilities=capabilities,
        names=names,
        net_driver="virtio_net" if capabilities.net_model == "virtio" else capabilities.net_model,
        nic_names=nic_names,
        addresses=nic_addresses,
        initramfs=work,
    )


def _change(session: Session, files: GuestFiles, plan: Plan) -> None:
    """Change the guest, one subsystem after the other."""
    with session.stage("convert/tools"):
        tools_removal.remove_tools(session, files, plan.packages)
        guest_agent.install_at_first_boot(session, files, plan.packages)
    with session.stage("convert/boot loader"):
        if plan.bootloader.default_kernel(plan.kernels) is not plan.kernel:
            plan.bootloader.set_default(plan.kernel)
        change_consoles = (
            console.replace_consoles if session.request.settings.serial_console else console.remove_consoles
        )
        change_consoles(files, plan.bootloader)
        plan.bootloader.rename_devices(plan.names)
        plan.bootloader.ensure_fallback(session.firmware)
    with session.stage("convert/configuration"):
        display.set_display_driver(session, files)
        block_devices.rename_devices(session, files, plan.names)
        modprobe.set_aliases(
            session, files, block_driver=_BLOCK_DRIVERS.get(plan.capabilities.block_bus), net_driver=plan.net_driver
        )
        keep_names.pin_names(files, plan.nic_names)
        session.nic_order, session.nic_macs = plan.nic_names.order, plan.nic_names.macs
        assign.write(files, plan.addresses)
    with session.stage("convert/initramfs"):
        naming = {path.lstrip("/"): content for path, (content, _) in plan.nic_names.files.items()}
        plan.initramfs.carry(naming, plan.net_driver)
        initramfs.update(session, files, plan.initramfs, plan.names)
    with session.stage("convert/finish"):
        identity.renew(session, files)
        # Comes last, because it labels the files that all other steps have written.
        selinux.label(session, files)


def choose_kernel(kernels: list[Kernel], bootable: list[Kernel], default: Kernel | None, blockers: Blockers) -> Kernel:
    """Return the kernel to boot.

    The guest's default kernel is kept if it has the virtio drivers, because the administrator chose it. Otherwise this
    is the best kernel that the boot loader offers; if none of those drives virtio disks, it is the best of all.

    :param kernels: all kernels, best first. :param bootable: those in the boot loader's menu, best first.
    """
    drives_all = default is not None and drives_virtio_disks(default) and default.drives("virtio_net")
    if default is not None and drives_all and not default.only_for_xen:
        return default
    candidates = [kernel for kernel in bootable if not kernel.only_for_xen]
    if not any(drives_virtio_disks(kernel) for kernel in candidates):
        candidates += [kernel for kernel in kernels if not kernel.only_for_xen]
    if not candidates:
        blockers.add(
            "all kernels of the guest run only in paravirtual Xen guests",
            "install an ordinary kernel in the guest on its source hypervisor",
        )
        return kernels[0]
    return next((kernel for kernel in candidates if drives_virtio_disks(kernel)), candidates[0])
