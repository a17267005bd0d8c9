# SPDX-License-Identifier: GPL-2.0-or-later
"""The network adapters that the guest's registry knows, and what tells which of the source's NICs each of them was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from v2v_convert_guestfs.mac_addresses import mac_address
from v2v_convert_guestfs.vmware_slots import pci_place, slot_number
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.network import nsi
from v2v_convert_guestfs.windows.registry.hives import HiveName, Key
from v2v_convert_guestfs.windows.registry.values import Value
from v2v_core.api import Nic

#: The class of network adapters.
CLASS = "{4D36E972-E325-11CE-BFC1-08002BE10318}"
CONNECTIONS = rf"Control\Network\{CLASS}"
#: Windows 10 and later, by the adapter's identifier.
KERNEL = r"Control\NetworkSetup2\Interfaces\{guid}\Kernel"

_GUID = re.compile(r"\{[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\}", re.ASCII)
#: What makes up an adapter's place: bus, device and function, whatever the language.
_PLACE = re.compile(r"(\d{1,3})\D+(\d{1,3})\D+(\d{1,3})\D*", re.ASCII)
_MACHINE_BUSES = frozenset({"PCI", "XEN", "XENBUS", "XENVIF", "XENPCI", "VMBUS", "VIRTIO"})
#: Characteristics: NCF_PHYSICAL.
_PHYSICAL = 0x4
_ETHERNET = 6
_PCI_ID = re.compile(r"VEN_([0-9A-F]{4})&DEV_([0-9A-F]{4})", re.ASCII)
#: The source's names of models by PCI identifiers.
_MODELS: Mapping[str, frozenset[str]] = {
    "15AD:07B0": frozenset({"vmxnet3"}),
    "15AD:0720": frozenset({"vmxnet", "vmxnet2", "vlance", "flexible", "pcnet32"}),
    "1022:2000": frozenset({"vlance", "flexible", "pcnet32", "pcnet", "vmxnet"}),
    "8086:100F": frozenset({"e1000", "e1000-82545em"}),
    "8086:100E": frozenset({"e1000", "e1000-82540em"}),
    "8086:10D3": frozenset({"e1000e"}),
    "10EC:8139": frozenset({"rtl8139"}),
    "1AF4:1000": frozenset({"virtio"}),
    "1AF4:1041": frozenset({"virtio"}),
}
_KNOWN_MODELS = frozenset().union(*_MODELS.values())
#: Adapters made of others, by the component identifiers of their drivers.
_COMPOSED = {
    "ms_implat": "a team",
    "ms_bridge": "a network bridge",
    "vms_mp": "a port of a Hyper-V switch",
    "vms_vsmp": "a port of a Hyper-V switch",
    "iansmini": "a team or VLAN of Intel's driver",
    "brcm_blf": "a team or VLAN of Broadcom's driver",
    "cpqteam": "a team of HP's driver",
}


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A network adapter in the registry. It may have been removed long ago.

    :param guid: in capitals, with braces. :param name: of the connection. :param instance: of the device.
    :param luid: as ``nsi.luid`` returns it. :param mac: that of the hardware.
    :param overridden: the MAC address that Windows uses in its place. :param slot: VMware's number.
    :param place: PCI bus and device. :param models: the source's names of this hardware, or () if they are not known.
    :param composed: what it is, if it consists of others: a team, a bridge.
    """

    guid: str
    name: str
    instance: str
    luid: str | None = None
    mac: str | None = None
    overridden: str | None = None
    slot: int | None = None
    place: tuple[int, int] | None = None
    models: frozenset[str] = frozenset()
    composed: str | None = None
    of_machine: bool = True

    def can_be(self, nic: Nic) -> bool:
        """Return whether it can be a NIC of the source by its hardware."""
        model = (nic.model or "").lower()
        return not self.models or model not in _KNOWN_MODELS or model in self.models

    def is_in_slot(self, slot: int) -> bool:
        """Return whether the adapter is in a slot, by VMware's number."""
        return slot_number(slot) == self.slot if self.slot is not None else self.place == (pci_place(slot) or ())


def read_adapters(guest: WindowsGuest) -> tuple[Adapter, ...]:
    """Return the network adapters of the control set that ran last: those of the machine, and composed ones."""
    system = guest.system.current
    connections = guest.registry.key(HiveName.SYSTEM, rf"{system}\{CONNECTIONS}")
    drivers = _drivers(guest.registry.key(HiveName.SYSTEM, rf"{system}\Control\Class\{CLASS}"))
    table = guest.registry.key(HiveName.SYSTEM, rf"{system}\{nsi.INTERFACES}")
    rows = table.values() if table is not None else {}
    found = []
    for key in connections.keys() if connections is not None else ():
        guid = key.name.upper()
        connection = key.key("Connection")
        if connection is None or not _GUID.fullmatch(guid):
            continue
        driver = drivers.get(guid, {})
        adapter = _adapter(guest, guid, connection.values(), driver, rows)
        if adapter.of_machine or adapter.composed:
            found.append(adapter)
    return tuple(found)


def _adapter(
    guest: WindowsGuest,
    guid: str,
    connection: Mapping[str, Value],
    driver: Mapping[str, Value],
    rows: Mapping[str, Value],
) -> Adapter:
    connection = {name.lower(): value for name, value in connection.items()}
    instance = _text(connection, "pnpinstanceid") or _text(driver, "deviceinstanceid")
    device = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.current}\Enum\{instance}") if instance else None
    slot = _number(device, "UINumber")
    component = _text(driver, "componentid").lower()
    index = driver["netluidindex"].number if "netluidindex" in driver else None
    kind = driver["*iftype"].number if "*iftype" in driver else None
    characteristics = driver["characteristics"].number if "characteristics" in driver else None
    bus = instance.partition("\\")[0].upper()
    identifier = _PCI_ID.search(instance.upper())
    return Adapter(
        guid=guid,
        name=_text(connection, "name"),
        instance=instance,
        luid=nsi.luid(_ETHERNET if kind is None else kind & 0xFFFF, index & 0xFFFFFF) if index is not None else None,
        mac=_kernel_address(guest, guid) or nsi.permanent_address(rows, guid) or address_in_instance(instance),
        overridden=mac_address(_with_colons(_text(driver, "networkaddress"))),
        slot=slot if slot else None,
        place=place_of(device),
        models=_MODELS.get(":".join(identifier.groups()), frozenset()) if identifier else frozenset(),
        composed=next((what for start, what in _COMPOSED.items() if start in component), None),
        of_machine=bus in _MACHINE_BUSES or (not bus and bool((characteristics or 0) & _PHYSICAL)),
    )


def _kernel_address(guest: WindowsGuest, guid: str) -> str | None:
    """Return the MAC address of the hardware that Windows 10 and later remember."""
    key = guest.registry.key(HiveName.SYSTEM, rf"{guest.system.current}\{KERNEL.replace('{guid}', guid)}")
    value = key.value("PermanentAddress") if key is not None else None
    return mac_address(value.data.hex(":")) if value is not None and len(value.data) == 6 else None


def address_in_instance(instance: str) -> str | None:
    """Return the MAC address in the name of a device, or None.

    Windows names a PCI Express device by its serial number, and VMware's NICs have one with the MAC address in it:
    E1000e in the order of its bytes with FFFF in the middle, VMXNET3 with the bytes of both halves reversed.
    """
    serial = instance.rpartition("\\")[2].upper()
    if not re.fullmatch(r"[0-9A-F]{18}", serial, re.ASCII):
        return None
    number = bytes.fromhex(serial[:16])
    if number[:1] == b"\xff" and number[7:] == b"\xfe":
        number = number[3::-1] + number[:3:-1]
    if number[3:5] not in {b"\xff\xff", b"\xff\xfe"}:
        return None
    return mac_address((number[:3] + number[5:]).hex(":"))


def place_of(device: Key | None) -> tuple[int, int] | None:
    """Return the PCI bus and device of ``LocationInformation``, or None."""
    value = device.value("LocationInformation") if device is not None else None
    # From Vista on it ends with the numbers in brackets, after a text with places for them
    text = (value.text if value is not None else None) or ""
    match = _PLACE.fullmatch(text.rpartition("(")[2].rstrip(")")) or _PLACE.search(text)
    return (int(match[1]), int(match[2])) if match else None


def _drivers(key: Key | None) -> dict[str, dict[str, Value]]:
    """Return the values of adapters' driver keys by the adapter's identifier, their names in small letters."""
    found = {}
    for driver in key.keys() if key is not None else ():
        values = {name.lower(): value for name, value in driver.values().items()}
        guid = _text(values, "netcfginstanceid").upper()
        if _GUID.fullmatch(guid):
            found[guid] = values
    return found


def _text(values: Mapping[str, Value], name: str) -> str:
    return (values[name].text or "") if name in values else ""


def _number(key: Key | None, name: str) -> int | None:
    value = key.value(name) if key is not None else None
    return value.number if value is not None else None


def _with_colons(address: str) -> str:
    digits = re.sub(r"[:.-]", "", address.strip())
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2)) if len(digits) == 12 else ""
