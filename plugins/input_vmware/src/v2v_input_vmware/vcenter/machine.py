# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the guest and its disks from the configuration of a virtual machine (vim.vm.ConfigInfo)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

from v2v_core.api import Bus, Cpu, Firmware, Guest, Nic, Removable, SourceDisk, SourceError, Topology
from v2v_input_vmware.vcenter.inventory import properties
from v2v_input_vmware.vcenter.session import Service
from v2v_input_vmware.vmx.guest import genid

#: A managed or data object of pyvmomi, which has no type hints.
Data = Any

_MIB = 1024 * 1024
_FIRMWARE = {"bios": Firmware.BIOS, "efi": Firmware.UEFI}
#: Drives per controller, to number the drives of a bus: hda and hdb are on the first IDE channel.
_DRIVES = {Bus.IDE: 2, Bus.SATA: 30, Bus.SCSI: 15}
#: NICs that have another name in libvirt and in VMX files than their class in vSphere.
_NIC_MODELS = {"pcnet32": "vlance"}
_PATH = re.compile(r"\[(?P<datastore>.*?)\] ?(?P<path>.+)")
_SHARED_BUSES = frozenset({"physicalSharing", "virtualSharing"})
#: In the order in which the disks are numbered, as in VMX files.
_CONTROLLERS = (("VirtualSCSIController", Bus.SCSI), ("VirtualNVMEController", Bus.NVME))
_MORE_CONTROLLERS = (("VirtualSATAController", Bus.SATA), ("VirtualIDEController", Bus.IDE))


@dataclass(frozen=True, kw_only=True)
class VmDisk:
    """A disk of the virtual machine.

    :param file: datastore and path as vSphere writes them: ``[datastore] dir/disk.vmdk``.
    :param path: of the file in its datastore.
    :param size: bytes.
    :param mode: ``persistent``, ``independent_persistent`` and so on.
    :param shared: several machines may write to the disk.
    :param mapping: ``physicalMode`` or ``virtualMode`` if the disk is a raw device mapping.
    :param differs: the file holds only the differences from another file.
    :param encrypted: the file is encrypted.
    :param boot_order: position among the disks that the firmware tries, from 1; None if unknown.
    :param controller: number of its controller. :param unit: its number on the controller.
    :param uuid: the identity of the file, which the guest may see as the serial number.
    :param key: of the device. :param thin: the datastore only holds what was written.
    :param change_id: identifies a state of the content, if changes are tracked.
    """

    label: str
    bus: Bus | None
    file: str
    datastore: str
    path: str
    size: int
    mode: str = "persistent"
    shared: bool = False
    mapping: str | None = None
    differs: bool = False
    encrypted: bool = False
    boot_order: int | None = None
    controller: int | None = None
    unit: int | None = None
    uuid: str | None = None
    key: int = 0
    thin: bool = False
    change_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The properties of a virtual machine, read once from the inventory.

    :param networks: names of distributed port groups by their keys.
    """

    moref: str
    name: str
    config: Data
    runtime: Data
    snapshot: Data
    networks: Mapping[str, str]


def read_machine(service: Service, vm: Data) -> Machine:
    """Read the properties of a virtual machine.

    :raises vim.fault.NoPermission: the user may not read one of them.
    """
    from pyVmomi import vim

    found = properties(service, vm, "name", "config", "runtime", "snapshot", "network")
    named = []
    for group in found["network"] or ():
        if isinstance(group, vim.dvs.DistributedVirtualPortgroup):
            # without permission the name of a port group stays unknown, and the machine can still be converted
            with suppress(vim.fault.NoPermission):
                named.append(properties(service, group, "key", "name"))
    return Machine(
        moref=vm._moId,
        name=found["name"],
        config=found["config"],
        runtime=found["runtime"],
        snapshot=found["snapshot"],
        networks={group["key"]: unquote(group["name"]) for group in named},
    )


def guest_of(vm: Machine, warn: Callable[[str], None]) -> tuple[Guest, tuple[VmDisk, ...]]:
    """Read the guest and its disks.

    :param warn: called for each property that the target cannot have.
    :raises SourceError: the configuration is not accessible, or a disk is not a file in a datastore.
    """
    config = vm.config
    if config is None:
        raise SourceError(
            f"the configuration of {vm.name} cannot be read: it is not accessible or not loaded",
            hint="look at its state in the inventory: register inaccessible and orphaned machines again",
        )
    devices = list(config.hardware.device)
    disks = _disks(devices, _boot_order(config.bootOptions, warn))
    _warn_of_host_devices(devices, warn)
    guest = Guest(
        # vSphere writes / \ and % in names as %2f, %5c and %25
        name=unquote(config.name),
        hypervisor="vmware",
        memory=int(config.hardware.memoryMB) * _MIB,
        cpu=_cpu(config.hardware),
        firmware=_FIRMWARE.get(config.firmware, Firmware.UNKNOWN),
        secure_boot=bool(config.bootOptions is not None and config.bootOptions.efiSecureBootEnabled),
        genid=_genid(config),
        disks=tuple(
            SourceDisk(
                index=index,
                bus=disk.bus,
                size=disk.size,
                origin=disk.file,
                boot_order=disk.boot_order,
                controller=disk.controller,
                unit=disk.unit,
                serial=disk.uuid,
            )
            for index, disk in enumerate(disks, 1)
        ),
        removables=_removables(devices),
        nics=_nics(vm, devices),
        tpm="2.0" if any(_is(device, "VirtualTPM") for device in devices) else None,
        os=config.guestId or None,
    )
    return guest, disks


def _is(device: Data, name: str) -> bool:
    """Return whether a device is of a class. Classes are compared by name, because an older pyvmomi lacks some."""
    return any(each.__name__.rpartition(".")[2] == name for each in type(device).__mro__)


def _boot_order(options: Data, warn: Callable[[str], None]) -> dict[int, int]:
    """Return the positions of disks in the boot order by their keys."""
    from pyVmomi import vim

    tried = list(options.bootOrder or ()) if options is not None else []
    disks = [each for each in tried if isinstance(each, vim.vm.BootOptions.BootableDiskDevice)]
    if tried and tried[0] not in disks:
        kind = type(tried[0]).__name__.rpartition(".Bootable")[2].removesuffix("Device")
        warn(f"the virtual machine tries to boot from {kind} first; the target tries its disks")
    return {int(disk.deviceKey): place for place, disk in enumerate(disks, 1)}


def _warn_of_host_devices(devices: list[Data], warn: Callable[[str], None]) -> None:
    for device in devices:
        if _is(device, "VirtualPCIPassthrough") or _is(device, "VirtualSCSIPassthrough"):
            label = device.deviceInfo.label if device.deviceInfo is not None else f"device {device.key}"
            warn(f"{label} is a device of the ESXi host: the target does not get it")


def _cpu(hardware: Data) -> Cpu:
    count, cores = int(hardware.numCPU), int(hardware.numCoresPerSocket or 0)
    if cores < 1 or count % cores:
        return Cpu(count=count)
    return Cpu(count=count, topology=Topology(sockets=count // cores, cores=cores, threads=1))


def _genid(config: Data) -> str | None:
    extra = {option.key.lower(): str(option.value) for option in config.extraConfig or ()}
    halves = [extra.get(key, "") for key in ("vm.genid", "vm.genidx")]
    if not all(re.fullmatch(r"-?[0-9]{1,19}", half) for half in halves):
        return None
    return genid(int(halves[0]), int(halves[1]))


def _disks(devices: list[Data], boot_order: Mapping[int, int]) -> tuple[VmDisk, ...]:
    from pyVmomi import vim

    controllers = _controllers(devices)
    found: list[tuple[tuple[int, int, int], VmDisk]] = []
    for device in devices:
        if not isinstance(device, vim.vm.device.VirtualDisk):
            continue
        controller = controllers.get(device.controllerKey)
        rank, bus = _bus(controller)
        number = int(controller.busNumber) if controller is not None else 0
        disk = _disk(device, bus, shared=getattr(controller, "sharedBus", None) in _SHARED_BUSES)
        unit = int(device.unitNumber) if device.unitNumber is not None else None
        disk = replace(disk, boot_order=boot_order.get(int(device.key)), controller=number, unit=unit)
        found.append(((rank, number, int(device.unitNumber or 0)), disk))
    return tuple(disk for _, disk in sorted(found, key=lambda each: each[0]))


def _controllers(devices: list[Data]) -> dict[Any, Data]:
    from pyVmomi import vim

    return {device.key: device for device in devices if isinstance(device, vim.vm.device.VirtualController)}


def _bus(controller: Data) -> tuple[int, Bus | None]:
    from pyVmomi import vim

    for rank, (name, bus) in enumerate((*_CONTROLLERS, *_MORE_CONTROLLERS)):
        if isinstance(controller, getattr(vim.vm.device, name)):
            return rank, bus
    return len(_CONTROLLERS) + len(_MORE_CONTROLLERS), None


def _disk(device: Data, bus: Bus | None, *, shared: bool) -> VmDisk:
    backing = device.backing
    label = device.deviceInfo.label if device.deviceInfo is not None else f"disk {device.key}"
    file = getattr(backing, "fileName", None) or ""
    match = _PATH.fullmatch(file)
    if match is None:
        raise SourceError(
            f"{label} of the virtual machine is not a file in a datastore ({file or type(backing).__name__})",
            hint="detach it from the virtual machine, or copy it into a VMDK",
        )
    size = getattr(device, "capacityInBytes", None) or int(device.capacityInKB) * 1024
    return VmDisk(
        label=label,
        bus=bus,
        file=file,
        datastore=match["datastore"],
        path=match["path"],
        size=int(size),
        mode=getattr(backing, "diskMode", None) or "persistent",
        shared=shared or getattr(backing, "sharing", None) == "sharingMultiWriter",
        mapping=getattr(backing, "compatibilityMode", None) or None,
        differs=getattr(backing, "parent", None) is not None,
        encrypted=getattr(backing, "keyId", None) is not None,
        uuid=getattr(backing, "uuid", None) or None,
        key=int(device.key),
        thin=bool(getattr(backing, "thinProvisioned", None)),
        change_id=getattr(backing, "changeId", None) or None,
    )


def _removables(devices: list[Data]) -> tuple[Removable, ...]:
    from pyVmomi import vim

    controllers = _controllers(devices)
    found = []
    for device in devices:
        if isinstance(device, vim.vm.device.VirtualCdrom):
            controller = controllers.get(device.controllerKey)
            bus = _bus(controller)[1]
            number = int(controller.busNumber) if controller is not None else 0
            slot = int(device.unitNumber or 0) + number * (_DRIVES.get(bus, 0) if bus is not None else 0)
            found.append(Removable(kind="cdrom", bus=bus, slot=slot))
        elif isinstance(device, vim.vm.device.VirtualFloppy):
            found.append(Removable(kind="floppy", bus=Bus.FLOPPY, slot=int(device.unitNumber or 0)))
    return tuple(found)


def _nics(vm: Machine, devices: list[Data]) -> tuple[Nic, ...]:
    from pyVmomi import vim

    cards = [device for device in devices if isinstance(device, vim.vm.device.VirtualEthernetCard)]
    cards.sort(key=lambda card: int(card.key))
    return tuple(
        Nic(
            network=_network(vm, card.backing) or f"eth{number}",
            kind="bridge",
            mac=card.macAddress or None,
            model=_nic_model(card),
            pci_slot=_pci_slot(card),
        )
        for number, card in enumerate(cards)
    )


def _pci_slot(card: Data) -> int | None:
    """Return the number that the VMX file has as ``pciSlotNumber``; None if VMware has not chosen one yet."""
    slot = getattr(card.slotInfo, "pciSlotNumber", None)
    return int(slot) if slot is not None and int(slot) >= 0 else None


def _nic_model(card: Data) -> str:
    name = type(card).__name__.rpartition(".")[2].removeprefix("Virtual").lower()
    return _NIC_MODELS.get(name, name)


def _network(vm: Machine, backing: Data) -> str | None:
    """Return the name of a NIC's network.

    The backing has it for a standard switch. For a distributed switch it has the key of a port group.
    """
    port = getattr(backing, "port", None)
    if port is None:
        name = getattr(backing, "deviceName", None)
        return str(name) if name else None
    return vm.networks.get(port.portgroupKey)
