# SPDX-License-Identifier: GPL-2.0-or-later
"""Read a guest from libvirt's elements (https://libvirt.org/formatdomain.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2v_core.errors import MetadataError
from v2v_core.metadata.buses import device_slot
from v2v_core.model import Bus, Cpu, Display, Firmware, Guest, Nic, Removable, SourceDisk, Topology

if TYPE_CHECKING:
    from lxml import etree

#: libvirt's units (https://libvirt.org/formatdomain.html#memory-allocation); KiB without one.
_UNITS = {
    **dict.fromkeys(("b", "bytes"), 1),
    "KB": 1000,
    **dict.fromkeys(("k", "KiB"), 1024),
    "MB": 1000**2,
    **dict.fromkeys(("M", "MiB"), 1024**2),
    "GB": 1000**3,
    **dict.fromkeys(("G", "GiB"), 1024**3),
    "TB": 1000**4,
    **dict.fromkeys(("T", "TiB"), 1024**4),
}
_BUSES = {"ide": Bus.IDE, "sata": Bus.SATA, "virtio": Bus.VIRTIO_BLK, "fdc": Bus.FLOPPY, "nvme": Bus.NVME}
_DISPLAYS = {"vnc": "vnc", "spice": "spice", "sdl": "window", "desktop": "window"}
_DEFAULT_MEMORY_KIB = "1048576"


def guest_of_domain(root: etree._Element) -> Guest:
    """Read a guest from the tree of a libvirt domain; elements of this project's namespace are ignored.

    Disks are numbered in the order of the document. A disk with ``device='lun'`` does not count as a disk, and an
    interface that is connected to neither a network nor a bridge does not count as a NIC. Sizes are unknown.

    :raises MetadataError: something that must be a number is not one.
    """
    firmware, secure_boot = _firmware(root)
    sound = root.find("devices/sound")
    return Guest(
        name=_text(root, "name") or "",
        hypervisor=root.get("type", "unknown"),
        memory=_memory(root),
        cpu=_cpu(root),
        features=tuple(child.tag for child in root.iterfind("features/*") if not child.tag.startswith("{")),
        firmware=firmware,
        secure_boot=secure_boot,
        genid=_text(root, "genid") or None,
        display=_display(root),
        sound=None if sound is None else sound.get("model"),
        disks=tuple(
            SourceDisk(
                index=index,
                bus=_bus(root, disk),
                boot_order=_boot_order(disk),
                block_size=_block_size(disk),
                controller=_address(disk, "bus" if _bus(root, disk) is Bus.IDE else "controller"),
                unit=_address(disk, "unit"),
                serial=_text(disk, "serial") or None,
            )
            for index, disk in enumerate(source_disks(root), start=1)
        ),
        removables=tuple(_removable(root, disk) for disk in source_removables(root)),
        nics=tuple(_nic(interface) for interface in source_interfaces(root)),
        tpm=_tpm(root),
        vsock=root.find("devices/vsock") is not None,
    )


def source_disks(root: etree._Element) -> list[etree._Element]:
    """Return the elements of the fixed disks."""
    return [disk for disk in root.iterfind("devices/disk") if disk.get("device", "disk") == "disk"]


def source_removables(root: etree._Element) -> list[etree._Element]:
    """Return the elements of the CD-ROM and floppy drives."""
    return [disk for disk in root.iterfind("devices/disk") if disk.get("device") in {"cdrom", "floppy"}]


def source_interfaces(root: etree._Element) -> list[etree._Element]:
    """Return the elements of the NICs."""
    return [nic for nic in root.iterfind("devices/interface") if nic.get("type") in {"network", "bridge"}]


def _text(element: etree._Element, path: str) -> str | None:
    text = element.findtext(path)
    return None if text is None else text.strip()


def _number(text: str, element: etree._Element, what: str) -> int:
    # int() accepts "1_000" and digits of every script, and refuses very long numbers with a ValueError
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise MetadataError(f"line {element.sourceline}: {what} is not a number: {text[:40]!r}")
    return int(text)


def _memory(root: etree._Element) -> int:
    memory = root.find("memory")
    if memory is None:
        return int(_DEFAULT_MEMORY_KIB) * 1024
    unit = memory.get("unit", "KiB")
    if unit not in _UNITS:
        raise MetadataError(f"line {memory.sourceline}: the memory has the unknown unit {unit!r}")
    return _number((memory.text or "").strip(), memory, "the memory") * _UNITS[unit]


def _cpu(root: etree._Element) -> Cpu:
    topology = root.find("cpu/topology")
    parts: dict[str, int] = {}
    if topology is not None:
        for name in ("sockets", "cores", "threads"):
            text = topology.get(name)
            if text is not None:
                parts[name] = _number(text, topology, f"the number of {name}")
    vcpu = root.find("vcpu")
    if vcpu is not None and (vcpu.text or "").strip():
        count = _number((vcpu.text or "").strip(), vcpu, "the number of virtual CPUs")
    else:
        count = parts.get("sockets", 1) * parts.get("cores", 1) * parts.get("threads", 1)
    return Cpu(
        count=count,
        vendor=_text(root, "cpu/vendor") or None,
        model=_text(root, "cpu/model") or None,
        topology=Topology(**parts) if len(parts) == 3 else None,
    )


def _firmware(root: etree._Element) -> tuple[Firmware, bool]:
    os = root.find("os")
    if os is None:
        return Firmware.UNKNOWN, False
    secure = any(
        feature.get("name") == "secure-boot" and feature.get("enabled") == "yes"
        for feature in os.iterfind("firmware/feature")
    )
    named = os.get("firmware")
    if named is not None:
        return {"bios": Firmware.BIOS, "efi": Firmware.UEFI}.get(named, Firmware.UNKNOWN), secure
    loader = os.find("loader")
    if loader is not None and loader.get("type") == "pflash":
        return Firmware.UEFI, secure or loader.get("secure") == "yes"
    # libvirt's default is the BIOS, but the program that wrote this XML may not have known the firmware
    return Firmware.UNKNOWN, secure


def _display(root: etree._Element) -> Display | None:
    graphics = root.find("devices/graphics")
    if graphics is None or graphics.get("type") not in _DISPLAYS:
        return None
    listen = graphics.find("listen")
    port = graphics.get("port", "")
    fixed = graphics.get("autoport") != "yes" and port.isascii() and port.isdigit() and 0 < len(port) <= 5
    return Display(
        kind=_DISPLAYS[graphics.get("type", "")],
        keymap=graphics.get("keymap"),
        password=graphics.get("passwd"),
        listen=graphics.get("listen") if listen is None else listen.get("address"),
        port=int(port) or None if fixed else None,
    )


def _bus(root: etree._Element, disk: etree._Element) -> Bus | None:
    target = disk.find("target")
    named = None if target is None else target.get("bus")
    if named == "scsi":
        virtio = any(
            controller.get("type") == "scsi" and (controller.get("model") or "").startswith("virtio")
            for controller in root.iterfind("devices/controller")
        )
        return Bus.VIRTIO_SCSI if virtio else Bus.SCSI
    return _BUSES.get(named or "")


def _address(disk: etree._Element, name: str) -> int | None:
    """Return a number of the address of a disk on its controller. On IDE, libvirt's bus is the channel."""
    address = disk.find("address[@type='drive']")
    text = None if address is None else address.get(name)
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) <= 4 else None


def _boot_order(disk: etree._Element) -> int | None:
    boot = disk.find("boot")
    return None if boot is None else _number(boot.get("order", ""), boot, "the place in the boot order")


def _block_size(disk: etree._Element) -> int | None:
    blocks = disk.find("blockio")
    size = None if blocks is None else blocks.get("logical_block_size")
    return None if size is None or blocks is None else _number(size, blocks, "the size of a logical block")


def _tpm(root: etree._Element) -> str | None:
    tpm = root.find("devices/tpm")
    if tpm is None:
        return None
    backend = tpm.find("backend")
    # libvirt's default
    return "2.0" if backend is None else backend.get("version", "2.0")


def _removable(root: etree._Element, disk: etree._Element) -> Removable:
    target = disk.find("target")
    device = "" if target is None else target.get("dev", "")
    return Removable(kind=disk.get("device", "cdrom"), bus=_bus(root, disk), slot=device_slot(device))


def _nic(interface: etree._Element) -> Nic:
    kind = interface.get("type", "network")
    source, mac, model = (interface.find(tag) for tag in ("source", "mac", "model"))
    return Nic(
        network="" if source is None else source.get(kind, ""),
        kind=kind,
        mac=None if mac is None else mac.get("address"),
        model=None if model is None else model.get("type"),
    )
