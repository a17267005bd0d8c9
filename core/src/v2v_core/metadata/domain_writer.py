# SPDX-License-Identifier: GPL-2.0-or-later
"""Describe a guest in libvirt's elements, as far as they can express it.

Existing elements are changed in place, so that the elements beside and below them are kept. What libvirt cannot express
is left out or approximated. ``source.put_source`` detects this, and adds the exact values in this project's elements.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from v2v_core.drive_names import drive_letters
from v2v_core.metadata.domain_reader import guest_of_domain, source_disks, source_interfaces, source_removables
from v2v_core.metadata.names import escape, libvirt_name
from v2v_core.metadata.tree import add, child, drop, set_attribute, set_text
from v2v_core.model import Bus, Cpu, Display, Firmware, Guest, Nic, Removable

if TYPE_CHECKING:
    from lxml import etree

#: The types of domains that libvirt knows (virDomainVirtType); it refuses others.
_TYPES = frozenset(
    (
        *("bhyve", "hvf", "hyperv", "kqemu", "kvm", "lxc", "openvz", "parallels", "phyp", "qemu", "test", "uml"),
        *("vbox", "vmware", "vz", "xen"),
    )
)
#: Features that are elements without content (https://libvirt.org/formatdomain.html#hypervisor-features).
_FEATURES = frozenset(("acpi", "apic", "hap", "pae", "privnet", "viridian"))
_BUSES = {
    Bus.IDE: ("ide", "hd"),
    Bus.SATA: ("sata", "sd"),
    Bus.SCSI: ("scsi", "sd"),
    Bus.VIRTIO_SCSI: ("scsi", "sd"),
    Bus.VIRTIO_BLK: ("virtio", "vd"),
    # libvirt has no bus of that name for disks of a file before 11.5
    Bus.NVME: (None, "sd"),
    Bus.FLOPPY: ("fdc", "fd"),
    None: (None, "hd"),
}
_TPMS = {"1.2": "tpm-tis", "2.0": "tpm-crb"}
_SOUNDS = frozenset(("sb16", "es1370", "pcspk", "ac97", "ich6", "ich7", "ich9", "usb", "virtio"))
_DISPLAYS = {"vnc": "vnc", "spice": "spice", "window": "sdl"}
_MAC = re.compile("[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_GENID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
#: Elements that say where a disk of the source is, or hold a secret of it.
_WHERE = ("source", "auth", "encryption", "backingStore", "mirror")


def describe_guest(root: etree._Element, guest: Guest) -> None:
    """Change the tree of a domain so that it describes this guest."""
    if root.get("type") is None or root.get("type") != guest.hypervisor:
        root.set("type", guest.hypervisor if guest.hypervisor in _TYPES else "kvm")
    set_text(root, "name", libvirt_name(guest.name))
    set_text(root, "genid", guest.genid if guest.genid is not None and _GENID.fullmatch(guest.genid) else None)
    for tag in ("memory", "currentMemory"):
        set_text(root, tag, str(guest.memory))
        child(root, tag).attrib.clear()
        child(root, tag).set("unit", "b")
    _cpu(root, guest.cpu)
    _firmware(root, guest)
    _features(root, guest.features)
    devices = child(root, "devices")
    _disks(root, devices, guest)
    _nics(root, devices, guest.nics)
    _display(devices, guest.display)
    drop(devices, "sound")
    if guest.sound in _SOUNDS:
        add(devices, "sound", {"model": guest.sound})
    _tpm(root, devices, guest.tpm)
    if not guest.vsock:
        drop(devices, "vsock")
    elif devices.find("vsock") is None:
        add(add(devices, "vsock", {"model": "virtio"}), "cid", {"auto": "yes"})


def _cpu(root: etree._Element, cpu: Cpu) -> None:
    vcpu = child(root, "vcpu")
    vcpu.text = str(cpu.count)
    # Guest has one number of CPUs; libvirt has a second one, of those that are plugged in (current='2')
    set_attribute(vcpu, "current", None)
    element = child(root, "cpu")
    set_text(element, "model", None if cpu.model is None else escape(cpu.model))
    set_text(element, "vendor", None if cpu.vendor is None else escape(cpu.vendor))
    drop(element, "topology")
    if cpu.topology is not None:
        topology = cpu.topology
        parts = {"sockets": topology.sockets, "cores": topology.cores, "threads": topology.threads}
        add(element, "topology", {name: str(number) for name, number in parts.items()})
    if not len(element) and not element.attrib:
        root.remove(element)


def _firmware(root: etree._Element, guest: Guest) -> None:
    """Write the firmware, unless the tree has it already, perhaps with the path of the loader."""
    element = child(root, "os")
    if element.find("type") is None:
        element.insert(0, add(element, "type", text="hvm"))
    described = guest_of_domain(root)
    if (described.firmware, described.secure_boot) == (guest.firmware, guest.secure_boot):
        return
    drop(element, "firmware", "loader", "nvram")
    set_attribute(element, "firmware", {Firmware.BIOS: "bios", Firmware.UEFI: "efi"}.get(guest.firmware))
    if guest.firmware is Firmware.UEFI:
        enabled = "yes" if guest.secure_boot else "no"
        add(add(element, "firmware"), "feature", {"enabled": enabled, "name": "secure-boot"})


def _features(root: etree._Element, features: tuple[str, ...]) -> None:
    element = child(root, "features")
    for feature_element in list(element):
        if feature_element.tag not in features and not feature_element.tag.startswith("{"):
            element.remove(feature_element)
    for feature in features:
        if feature in _FEATURES and element.find(feature) is None:
            add(element, feature)
    if not len(element):
        root.remove(element)


def _disks(root: etree._Element, devices: etree._Element, guest: Guest) -> None:
    disks = source_disks(root)
    if len(disks) != len(guest.disks):
        disks = _replace_elements(devices, disks, ["disk"] * len(guest.disks))
    taken: dict[str, int] = {}
    for disk, element in zip(guest.disks, disks, strict=True):
        _disk(element, disk.bus, None, taken)
        drop(element, "boot")
        if disk.boot_order:
            add(element, "boot", {"order": str(disk.boot_order)})
        _block_size(element, disk.block_size)
    drives = source_removables(root)
    if [drive.get("device") for drive in drives] != [removable.kind for removable in guest.removables]:
        drives = _replace_elements(devices, drives, [removable.kind for removable in guest.removables])
    for removable, element in zip(guest.removables, drives, strict=True):
        _disk(element, removable.bus, removable, taken)


def _block_size(element: etree._Element, size: int | None) -> None:
    if size is None:
        drop(element, "blockio")
    elif element.find("blockio") is None or child(element, "blockio").get("logical_block_size") != str(size):
        blocks = child(element, "blockio")
        blocks.attrib.clear()
        blocks.set("logical_block_size", str(size))


def _replace_elements(devices: etree._Element, old: list[etree._Element], kinds: list[str]) -> list[etree._Element]:
    for element in old:
        devices.remove(element)
    known = {"disk", "cdrom", "floppy"}
    return [add(devices, "disk", {"device": kind if kind in known else "cdrom"}) for kind in kinds]


def _disk(element: etree._Element, bus: Bus | None, removable: Removable | None, taken: dict[str, int]) -> None:
    """Write the bus and the device name of a disk or drive, and remove where its data is."""
    element.set("type", "file")
    drop(element, *_WHERE)
    named, prefix = _BUSES[bus]
    target = child(element, "target")
    set_attribute(target, "bus", named)
    slot = taken.get(prefix, 0)
    if removable is not None and removable.slot is not None and 0 <= removable.slot < 26**3:
        slot = removable.slot
    taken[prefix] = max(slot + 1, taken.get(prefix, 0))
    target.set("dev", prefix + drive_letters(slot))
    # the address (bus 0, unit 1) belongs to the name and the bus that it had before
    drop(element, "address")


def _nics(root: etree._Element, devices: etree._Element, nics: tuple[Nic, ...]) -> None:
    elements = source_interfaces(root)
    if len(elements) != len(nics):
        for element in elements:
            devices.remove(element)
        elements = [add(devices, "interface") for _ in nics]
    for nic, element in zip(nics, elements, strict=True):
        kind = nic.kind if nic.kind in {"network", "bridge"} else "network"
        element.set("type", kind)
        source = child(element, "source")
        for other in ("network", "bridge"):
            set_attribute(source, other, escape(nic.network) if other == kind else None)
        drop(element, "mac", "model")
        if nic.mac is not None and _MAC.fullmatch(nic.mac):
            add(element, "mac", {"address": nic.mac})
        if nic.model is not None:
            add(element, "model", {"type": escape(nic.model)})


def _display(devices: etree._Element, display: Display | None) -> None:
    drop(devices, "graphics")
    if display is None or display.kind not in _DISPLAYS:
        return
    fixed = display.port is not None and 0 < display.port < 65536
    sdl = display.kind == "window"
    graphics = add(
        devices,
        "graphics",
        {
            "type": _DISPLAYS[display.kind],
            "port": str(display.port) if fixed and not sdl else None,
            "autoport": None if sdl else "no" if fixed else "yes",
            "keymap": _escaped(display.keymap),
            "passwd": _escaped(display.password),
        },
    )
    if display.listen is not None and not sdl:
        add(graphics, "listen", {"type": "address", "address": escape(display.listen)})


def _escaped(text: str | None) -> str | None:
    return None if text is None else escape(text)


def _tpm(root: etree._Element, devices: etree._Element, version: str | None) -> None:
    """Write the TPM, unless the tree has it already."""
    if guest_of_domain(root).tpm == version:
        return
    drop(devices, "tpm")
    if version in _TPMS:
        tpm = add(devices, "tpm", {"model": _TPMS[version]})
        add(tpm, "backend", {"type": "emulator", "version": version})
