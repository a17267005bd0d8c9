# SPDX-License-Identifier: GPL-2.0-or-later
"""Read OVF descriptors (DMTF DSP0243), in which devices are CIM_ResourceAllocationSettingData."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lxml import etree

from v2v_core.api import (
    Cpu,
    Firmware,
    Guest,
    Nic,
    SourceDisk,
    SourceError,
    Topology,
    UntrustedXmlError,
    parse_untrusted_xml,
)
from v2v_input_vmware.ova.drives import OvfDisk, read_controllers, read_disks, read_removables
from v2v_input_vmware.ova.elements import CORRECT, NUMBER, Item, all_named, attribute, bytes_of_unit, local
from v2v_input_vmware.ova.virtualbox import VirtualBoxMachine, mac_address, read_virtualbox

_MIB = 1024 * 1024
_DEFAULT_MEMORY = 1024 * _MIB
#: CIM ResourceType.
_PROCESSOR, _MEMORY, _NIC = "3", "4", "10"
_TPM = "vmware.vtpm"
#: Devices of one virtual machine; VMware's limits add up to fewer.
_MOST_DEVICES = 1000


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """The guest and the disks that a descriptor describes.

    :param assumed: fields of the guest that the descriptor says nothing about (``InputResult.assumed``).
    """

    guest: Guest
    disks: tuple[OvfDisk, ...]
    assumed: tuple[str, ...] = ()


def parse_ovf(data: bytes, fallback_name: str, warn: Callable[[str], None]) -> Descriptor:
    """Read a descriptor.

    :param fallback_name: name of the guest if the descriptor has none.
    :param warn: called for each setting that is ignored.
    :raises SourceError: the descriptor is not usable.
    """
    try:
        root = parse_untrusted_xml(data)
    except UntrustedXmlError as err:
        raise SourceError(f"the OVF descriptor of the OVA is not usable: {err}", hint=CORRECT) from err
    systems = all_named(root, "VirtualSystem")
    if not systems:
        raise SourceError("the OVF descriptor of the OVA does not describe a virtual machine", hint=CORRECT)
    if len(systems) > 1:
        raise SourceError(
            f"the OVA holds {len(systems)} virtual machines, but only one can be converted at a time",
            hint="export each virtual machine separately; or unpack the OVA, leave one VirtualSystem in a copy of the "
            "OVF descriptor, and name that copy with -io skip-manifest",
        )
    system = systems[0]
    items = _items(root, system)
    virtualbox = read_virtualbox(system)
    name = _name(system, virtualbox)
    if not name:
        warn(f"the OVF descriptor has no name for the guest: it is called {fallback_name}")
    controllers = read_controllers(items)
    disks = read_disks(root, items, controllers, _boot_order(system), warn)
    guest = Guest(
        name=name or fallback_name,
        hypervisor="vmware",
        memory=_memory(items),
        cpu=_cpu(items, system, warn),
        firmware=_firmware(system, virtualbox),
        secure_boot=_config(system, "bootOptions.efiSecureBootEnabled") == "true",
        disks=tuple(
            SourceDisk(index=i, bus=disk.bus, origin=disk.label, boot_order=disk.boot_order, unit=disk.unit)
            for i, disk in enumerate(disks, 1)
        ),
        removables=read_removables(items, controllers, warn),
        nics=_nics(items, virtualbox),
        tpm="2.0" if any(item.get("ResourceSubType") == _TPM for item in items) else virtualbox.tpm,
        os=_os(system) or virtualbox.os,
    )
    return Descriptor(guest=guest, disks=disks, assumed=tuple(_assumed(items)))


def _items(root: etree._Element, system: etree._Element) -> list[Item]:
    """Return the devices that all deployment configurations share, and those of the default configuration."""
    configurations = all_named(root, "Configuration")
    default = next((c for c in configurations if attribute(c, "default") == "true"), None)
    if default is None and configurations:
        default = configurations[0]
    chosen = attribute(default, "id") if default is not None else None
    items = []
    for element in system.iter("{*}Item", "{*}StorageItem", "{*}EthernetPortItem"):
        only = attribute(element, "configuration")
        if only is None or chosen in only.split():
            items.append(Item.of(element))
    if len(items) > _MOST_DEVICES:
        raise SourceError(
            f"the OVF descriptor of the OVA has {len(items)} devices",
            hint="no virtual machine has so many: export the guest again",
        )
    return items


def _name(system: etree._Element, virtualbox: VirtualBoxMachine) -> str | None:
    names = [element for element in system if isinstance(element.tag, str) and local(element) == "Name"]
    texts = [(element.text or "").strip() for element in names[:1]]
    texts.append((virtualbox.name or "").strip())
    texts += [(element.text or "").strip() for element in all_named(system, "VirtualSystemIdentifier")[:1]]
    return next((text for text in texts if text), None)


def _os(system: etree._Element) -> str | None:
    sections = all_named(system, "OperatingSystemSection")
    return next((name for section in sections if (name := attribute(section, "osType"))), None)


def _assumed(items: list[Item]) -> Iterator[str]:
    for field, kind in (("memory", _MEMORY), ("cpu", _PROCESSOR)):
        if not any(item.kind == kind and item.number("VirtualQuantity") for item in items):
            yield field


def _memory(items: list[Item]) -> int:
    for item in items:
        if item.kind == _MEMORY and (quantity := item.number("VirtualQuantity")):
            return quantity * bytes_of_unit(item.get("AllocationUnits"), _MIB)
    return _DEFAULT_MEMORY


def _cpu(items: list[Item], system: etree._Element, warn: Callable[[str], None]) -> Cpu:
    count = next((n for item in items if item.kind == _PROCESSOR and (n := item.number("VirtualQuantity"))), 1)
    cores = next(
        (text for element in all_named(system, "CoresPerSocket") if (text := (element.text or "").strip())), None
    )
    if cores is None:
        return Cpu(count=count)
    if not NUMBER.fullmatch(cores) or not 0 < int(cores) <= count:
        warn(f"CoresPerSocket in the OVF descriptor is {cores[:20]!r}, but there are {count} CPUs: it is ignored")
        return Cpu(count=count)
    return Cpu(count=count, topology=Topology(sockets=count // int(cores), cores=int(cores), threads=1))


def _firmware(system: etree._Element, virtualbox: VirtualBoxMachine) -> Firmware:
    value = _config(system, "firmware")
    if value is None:
        return virtualbox.firmware
    known = {"bios": Firmware.BIOS, "efi": Firmware.UEFI}
    if value not in known:
        raise SourceError(
            f"the firmware {value[:20]!r} in the OVF descriptor is unknown",
            hint=f"it must be bios or efi (vmw:Config key=firmware): {CORRECT}",
        )
    return known[value]


def _config(system: etree._Element, key: str) -> str | None:
    """Return a setting of VMware's in lower case, or None."""
    settings = (element for element in all_named(system, "Config") if attribute(element, "key") == key)
    return next(((attribute(element, "value") or "").lower() for element in settings), None)


def _boot_order(system: etree._Element) -> dict[str, int]:
    """Return the positions of disks in the boot order of VMware's sections, by InstanceID."""
    sections = (each for each in all_named(system, "BootOrderSection") if attribute(each, "type") == "disk")
    named = dict.fromkeys(name for each in sections if (name := attribute(each, "instanceId")))
    return {name: place for place, name in enumerate(named, 1)}


def _nics(items: list[Item], virtualbox: VirtualBoxMachine) -> tuple[Nic, ...]:
    cards = [item for item in items if item.kind == _NIC]
    # VirtualBox writes one item for each enabled adapter, in the order of the slots
    macs = virtualbox.macs if len(virtualbox.macs) == len(cards) else (None,) * len(cards)
    nics = []
    for number, (item, mac) in enumerate(zip(cards, macs, strict=True)):
        connection, model = item.get("Connection"), item.get("ResourceSubType")
        nics.append(
            Nic(
                network=connection or f"eth{number}",
                kind="bridge" if connection else "network",
                mac=mac_address(item.get("Address") or "") or mac,
                model=model.lower() if model else None,
            )
        )
    return tuple(nics)
