# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the guest and its disks from the settings of a VMX file."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from v2v_core.api import Bus, Cpu, Firmware, Guest, Nic, Removable, SourceDisk, Topology
from v2v_input_vmware.vmx.syntax import Vmx

_MIB = 1024 * 1024
#: VMware's default if the VMX file does not set the memory, in MiB.
_DEFAULT_MEMORY = 32
#: In the order in which the disks are numbered: bus, names of its devices, and devices per controller. The last one
#: gives each drive of the bus a number of its own: hda and hdb are on the first IDE channel.
_BUSES = (
    (Bus.SCSI, r"scsi(\d{1,4}):(\d{1,4})", 15),
    (Bus.NVME, r"nvme(\d{1,4}):(\d{1,4})", 15),
    (Bus.SATA, r"sata(\d{1,4}):(\d{1,4})", 30),
    (Bus.IDE, r"ide(\d{1,4}):(\d{1,4})", 2),
)
#: 13 bits: bus, device and function.
_MOST_SLOTS = 1 << 13
#: Files of CD-ROM drives that have no device type.
_CDROM_FILES = re.compile(
    r"auto detect|emptybackingstring|(/dev/|/vmfs/devices/)(cdrom|scd|sr|dvd).*|cd-?rom.*(?<!\.vmdk)|[a-z]:|.*\.iso",
    re.IGNORECASE,
)
_SOUND = {"sb16": "sb16", "es1371": "es1370", "hdaudio": "ich6"}


@dataclass(frozen=True)
class VmxDisk:
    """A disk in the VMX file: its device (``scsi0:0``) and the name of its file."""

    bus: Bus
    device: str
    file: str
    controller: int
    target: int


def guest_of(vmx: Vmx, fallback_name: str, warn: Callable[[str], None]) -> tuple[Guest, tuple[VmxDisk, ...]]:
    """Read the guest and its disks.

    :param fallback_name: name of the guest if the file has none.
    :param warn: called for each setting that is ignored.
    """
    name = vmx.get("displayName")
    if not name:
        warn(f"the VMX file has no displayName: the guest is called {fallback_name}")
    (disks, removables), boot_order = _drives(vmx, warn), _boot_order(vmx)
    guest = Guest(
        name=name or fallback_name,
        hypervisor="vmware",
        memory=_memory(vmx, warn),
        cpu=_cpu(vmx, warn),
        firmware=_firmware(vmx, warn),
        secure_boot=vmx.flag("uefi.secureBoot.enabled"),
        genid=genid(vmx.number("vm.genid"), vmx.number("vm.genidX")),
        sound=_sound(vmx, warn),
        disks=tuple(
            SourceDisk(
                index=index,
                bus=disk.bus,
                origin=f"{disk.device}, {disk.file}",
                boot_order=boot_order.get(disk.device),
                controller=disk.controller,
                unit=disk.target,
            )
            for index, disk in enumerate(disks, 1)
        ),
        removables=removables,
        nics=_nics(vmx),
        tpm="2.0" if vmx.flag("vtpm.present") or vmx.get("managedvm.autoAddVTPM") else None,
        os=vmx.get("guestOS") or None,
    )
    return guest, disks


def _boot_order(vmx: Vmx) -> dict[str, int]:
    """Return the positions of disks in the boot order of the BIOS by their devices."""
    named = dict.fromkeys(name.strip().lower() for name in (vmx.get("bios.hddOrder") or "").split(",") if name.strip())
    return {name: place for place, name in enumerate(named, 1)}


def genid(low: int | None, high: int | None) -> str | None:
    """Return the generation id that two signed 64-bit numbers make up.

    The first one is in big-endian order by fields of the UUID, the second one is in little-endian order.
    """
    if low is None or high is None:
        return None
    mask = (1 << 64) - 1
    first, second = f"{low & mask:016x}", (high & mask).to_bytes(8, "little").hex()
    return str(uuid.UUID(first[8:16] + first[4:8] + first[0:4] + second))


def assumed(vmx: Vmx) -> tuple[str, ...]:
    """Return the fields of the guest that the file says nothing about; a file without ``numvcpus`` means one CPU."""
    return ("memory",) if vmx.get("memSize") is None else ()


def _memory(vmx: Vmx, warn: Callable[[str], None]) -> int:
    megabytes = vmx.number("memSize")
    if megabytes is None or megabytes <= 0:
        if vmx.get("memSize") is not None:
            warn(f"memSize in the VMX file is not a number of megabytes: the guest gets {_DEFAULT_MEMORY}")
        megabytes = _DEFAULT_MEMORY
    return megabytes * _MIB


def _cpu(vmx: Vmx, warn: Callable[[str], None]) -> Cpu:
    count = vmx.number("numvcpus")
    if count is None or count <= 0:
        count = 1
    cores = vmx.number("cpuid.coresPerSocket")
    if cores is None:
        return Cpu(count=count)
    if cores <= 0 or count // cores == 0:
        warn(f"cpuid.coresPerSocket in the VMX file is {cores}, but there are {count} CPUs: it is ignored")
        return Cpu(count=count)
    return Cpu(count=count, topology=Topology(sockets=count // cores, cores=cores, threads=1))


def _firmware(vmx: Vmx, warn: Callable[[str], None]) -> Firmware:
    value = vmx.get("firmware")
    known = {None: Firmware.BIOS, "bios": Firmware.BIOS, "efi": Firmware.UEFI}
    lowered = value.strip().lower() if value is not None else None
    if lowered not in known:
        warn(f"the firmware {value!r} in the VMX file is unknown: the guest gets BIOS")
    return known.get(lowered, Firmware.BIOS)


def _sound(vmx: Vmx, warn: Callable[[str], None]) -> str | None:
    device = vmx.get("sound.virtualDev")
    if device is None:
        return None
    if device.lower() not in _SOUND:
        warn(f"the sound card {device!r} in the VMX file is unknown: the guest gets none")
    return _SOUND.get(device.lower())


def _drives(vmx: Vmx, warn: Callable[[str], None]) -> tuple[tuple[VmxDisk, ...], tuple[Removable, ...]]:
    """Return the disks and the CD-ROM drives.

    Programs write many device types for disks, and often none. Every drive with a file is therefore a disk, unless it
    is a CD-ROM drive or a device of the host.

    :param warn: called for each drive that is neither, and so is missing in the converted guest.
    """
    disks, removables, known = [], [], set()
    for bus, pattern, drives in _BUSES:
        for (controller, target), device in vmx.devices(pattern):
            known.add(device)
            kind, file = (vmx.get(f"{device}.deviceType") or "").lower(), vmx.get(f"{device}.fileName") or ""
            remote = vmx.flag(f"{device}.clientDevice") and not file.lower().endswith(".vmdk")
            if "cdrom" in kind or (not kind and (remote or _CDROM_FILES.fullmatch(file))):
                removables.append(Removable(kind="cdrom", bus=bus, slot=drives * controller + target))
            elif "passthru" in kind and not file.lower().endswith(".vmdk"):
                warn(f"{device} in the VMX file is a device of the host, {file!r}: the target does not get it")
            elif file:
                if vmx.get(f"{device}.redo"):
                    warn(
                        f"{device} in the VMX file has a redo log, {vmx.get(f'{device}.redo')!r}, whose changes are "
                        "left out: commit it in VMware if they are needed"
                    )
                disks.append(VmxDisk(bus, device, file, controller, target))
            elif vmx.flag(f"{device}.present"):
                warn(f"{device} in the VMX file has no fileName: it is ignored")
    for device, file in vmx.files():
        if file.lower().endswith(".vmdk") and device not in known:
            warn(f"the disk {file!r} of {device} in the VMX file is on a bus that is not supported: it is ignored")
    return tuple(disks), tuple(removables)


def _nics(vmx: Vmx) -> tuple[Nic, ...]:
    nics = []
    for _, device in vmx.devices(r"ethernet(\d{1,4})"):
        model = vmx.get(f"{device}.virtualDev")
        slot = vmx.number(f"{device}.pciSlotNumber")
        bridged = (vmx.get(f"{device}.connectionType") or "").lower() == "bridged"
        nics.append(
            Nic(
                network=vmx.get(f"{device}.networkName") or device,
                kind="bridge" if bridged else "network",
                mac=_mac(vmx, device),
                model=model.lower() if model else None,
                # -1: VMware has not chosen one yet
                pci_slot=slot if slot is not None and 0 <= slot < _MOST_SLOTS else None,
            )
        )
    return tuple(nics)


def _mac(vmx: Vmx, device: str) -> str | None:
    static, generated = vmx.get(f"{device}.address"), vmx.get(f"{device}.generatedAddress")
    if (vmx.get(f"{device}.addressType") or "").lower() == "static" and static:
        return static
    return generated or static or None
