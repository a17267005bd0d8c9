# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices of the target as elements of a libvirt domain (https://libvirt.org/formatdomain.html#devices)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from v2v_core.metadata.buses import device_slot
from v2v_core.metadata.names import escape
from v2v_core.metadata.tree import add
from v2v_core.metadata.windows_domain import needed_tpm
from v2v_core.model import Bus, Nic, TargetGuest

if TYPE_CHECKING:
    from lxml import etree

_BUSES = {
    Bus.IDE: "ide",
    Bus.SATA: "sata",
    Bus.SCSI: "scsi",
    Bus.VIRTIO_SCSI: "scsi",
    Bus.VIRTIO_BLK: "virtio",
    Bus.NVME: "virtio",
    Bus.FLOPPY: "fdc",
}
_USUAL_BLOCK = 512
#: Libvirt derives the controller from the name of the disk: 15 units each, since unit 7 is the controller itself.
_SCSI_UNITS = 15
#: Libvirt's models for the names that other hypervisors have for sound devices.
_SOUNDS = {
    **{name: name for name in ("sb16", "es1370", "pcspk", "ac97", "ich6", "ich7", "ich9", "usb")},
    "es1371": "es1370",
    "hda": "ich6",
    "hdaudio": "ich6",
    "hd-audio": "ich6",
    "virtio": "ich9",
}
#: Sound devices that only PCs have.
_PC_SOUNDS = frozenset(("sb16", "pcspk"))
_VNC_PASSWORD = 8
_MAC = re.compile("[0-9a-fA-F][02468aAcCeE](:[0-9a-fA-F]{2}){5}")
_KEYMAP = re.compile("[a-zA-Z0-9_-]+")
_ADDRESS = re.compile(r"[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*|[a-zA-Z0-9.-]+")
#: Characters that the name of a bridge cannot have (dev_valid_name in the kernel, deviceName in libvirt's schema).
_NOT_BRIDGE = re.compile(r"[^a-zA-Z0-9_.-]")


class Devices:
    """Writes the children of ``<devices>``.

    :param intel: the target is a PC. :param floppies: the target has floppy drives.
    :param warn: is called for each thing that the target lacks or libvirt cannot express.
    """

    def __init__(
        self,
        devices: etree._Element,
        target: TargetGuest,
        *,
        intel: bool,
        floppies: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._devices = devices
        self._target = target
        self._intel = intel
        self._floppies = floppies
        self._warn = warn
        capabilities = target.capabilities
        # on a PCI Express machine libvirt's virtio devices are "modern" only by default, and older guests miss them
        transitional = capabilities.machine == "q35" and not capabilities.virtio_1_0
        self._transitional = "virtio-transitional" if transitional else None

    def write(self) -> None:
        """Write all devices."""
        self._disks()
        self._scsi_controllers()
        for nic in self._target.nics:
            self._nic(nic)
        self._console()
        self._display()
        self._sound()
        self._tpm()
        self._others()

    def _disks(self) -> None:
        for disk in self._target.disks:
            virtio = disk.bus in {Bus.VIRTIO_BLK, Bus.NVME}
            model = self._transitional if virtio else None
            element = add(self._devices, "disk", {"type": "file", "device": "disk", "model": model})
            add(element, "driver", {"name": "qemu"})
            add(element, "target", {"dev": disk.device, "bus": _BUSES[disk.bus]})
            if disk.block_size != _USUAL_BLOCK:
                size = str(disk.block_size)
                add(element, "blockio", {"logical_block_size": size, "physical_block_size": size})
            if disk.boot_order is not None:
                add(element, "boot", {"order": str(disk.boot_order)})
        for drive in self._target.removables:
            if drive.kind == "floppy" and not self._floppies:
                self._warn("a floppy drive is left out: the target has none")
                continue
            element = add(self._devices, "disk", {"type": "file", "device": drive.kind})
            add(element, "driver", {"name": "qemu", "type": "raw"})
            add(element, "target", {"dev": drive.device, "bus": _BUSES[drive.bus]})

    def _scsi_controllers(self) -> None:
        """Add the controllers; libvirt would add them with a model for which the guest has no driver."""
        places = [(disk.bus, disk.device) for disk in self._target.disks]
        places += [(drive.bus, drive.device) for drive in self._target.removables]
        slots = [device_slot(device) or 0 for bus, device in places if _BUSES[bus] == "scsi"]
        count = max(slots) // _SCSI_UNITS + 1 if slots else 0
        model = self._transitional or "virtio-scsi"
        for index in range(count):
            add(self._devices, "controller", {"type": "scsi", "index": str(index), "model": model})

    def _nic(self, nic: Nic) -> None:
        bridge = nic.kind == "bridge"
        element = add(self._devices, "interface", {"type": "bridge" if bridge else "network"})
        network = escape(nic.network) or "default"
        if bridge and _NOT_BRIDGE.search(network):
            network = _NOT_BRIDGE.sub("_", network)
            self._warn(f"{nic.network!r} cannot be the name of a bridge; the target has {network!r}")
        add(element, "source", {"bridge" if bridge else "network": network})
        model = self._target.capabilities.net_model
        add(element, "model", {"type": (self._transitional or model) if model == "virtio" else model})
        if nic.mac is not None and _MAC.fullmatch(nic.mac) and nic.mac != "00:00:00:00:00:00":
            add(element, "mac", {"address": nic.mac.lower()})
        elif nic.mac is not None:
            self._warn(f"{nic.mac!r} cannot be the MAC address of an interface; it will get another one")

    def _display(self) -> None:
        """Add a display. A window on the source's desktop becomes VNC: servers have no desktop, most QEMUs no SDL."""
        display = self._target.source.display
        if display is None or display.kind not in {"vnc", "spice"}:
            add(self._devices, "graphics", {"type": "vnc", "autoport": "yes", **self._keymap()})
            return
        if display.kind == "spice":
            self._warn("the display needs SPICE, which the QEMU of some hosts (RHEL 9) lacks: have 'vnc' there instead")
        fixed = display.port is not None and 0 < display.port < 65536
        password = None if display.password is None else escape(display.password)
        if password is not None and display.kind == "vnc" and len(password.encode()) > _VNC_PASSWORD:
            # the protocol uses no more of it (RFC 6143, 7.2.2), and libvirt refuses longer ones
            self._warn(f"only the first {_VNC_PASSWORD} characters of the VNC password are kept")
            password = password.encode()[:_VNC_PASSWORD].decode("utf-8", "ignore")
        graphics = add(
            self._devices,
            "graphics",
            {
                "type": display.kind,
                "port": str(display.port) if fixed else None,
                "autoport": "no" if fixed else "yes",
                "passwd": password,
                **self._keymap(),
            },
        )
        if display.listen is not None:
            if _ADDRESS.fullmatch(display.listen):
                add(graphics, "listen", {"type": "address", "address": display.listen})
            else:
                self._warn(f"the display cannot listen on {display.listen!r}; it has the default of the host")

    def _keymap(self) -> dict[str, str]:
        display = self._target.source.display
        if display is None or display.keymap is None or not _KEYMAP.fullmatch(display.keymap):
            return {}
        return {"keymap": display.keymap}

    def _console(self) -> None:
        # "vga" needs no driver in any guest; Arm machines have no VGA
        if self._intel:
            add(add(self._devices, "video"), "model", {"type": "vga", "vram": "16384", "heads": "1"})
        else:
            add(add(self._devices, "video"), "model", {"type": "virtio", "heads": "1"})

    def _sound(self) -> None:
        sound = self._target.source.sound
        if sound is None:
            return
        model = _SOUNDS.get(sound.lower())
        if model is None or (model in _PC_SOUNDS and not self._intel):
            self._warn(f"the sound device {sound!r} is left out: the target has none like it")
            return
        add(self._devices, "sound", {"model": model})

    def _tpm(self) -> None:
        """Add an empty emulated TPM if the source had a TPM, whose content cannot be copied, or the guest needs one."""
        version = needed_tpm(self._target) or self._target.source.tpm
        if version is None:
            return
        if not self._intel and self._target.capabilities.arch not in {"aarch64", "arm64"}:
            self._warn("the TPM is left out: the target has none")
            return
        # PCs have CRB for version 2; for Arm machines and for version 1.2 there is only TIS
        model = "tpm-tis" if version == "1.2" or not self._intel else "tpm-crb"
        version = "1.2" if version == "1.2" and self._intel else "2.0"
        add(add(self._devices, "tpm", {"model": model}), "backend", {"type": "emulator", "version": version})

    def _others(self) -> None:
        capabilities = self._target.capabilities
        virtio = self._transitional or "virtio"
        if capabilities.virtio_rng:
            add(add(self._devices, "rng", {"model": virtio}), "backend", {"model": "random"}, "/dev/urandom")
        add(self._devices, "memballoon", {"model": virtio if capabilities.virtio_balloon else "none"})
        if capabilities.isa_pvpanic and self._intel:
            add(add(self._devices, "panic", {"model": "isa"}), "address", {"type": "isa", "iobase": "0x505"})
        # not each host has /dev/vhost-vsock, and without it the guest would not start
        if capabilities.virtio_socket and self._target.source.vsock:
            add(add(self._devices, "vsock", {"model": virtio}), "cid", {"auto": "yes"})
        add(self._devices, "input", {"type": "tablet", "bus": "usb"})
        if self._intel:
            add(self._devices, "input", {"type": "mouse", "bus": "ps2"})
        else:
            # unlike a PC with its PS/2 keyboard, the machine has none
            add(self._devices, "input", {"type": "keyboard", "bus": "usb"})
        add(self._devices, "console", {"type": "pty"})
        add(
            self._devices,
            "controller",
            {"type": "virtio-serial", "index": "0", "model": self._transitional},
        )
        channel = add(self._devices, "channel", {"type": "unix"})
        add(channel, "target", {"type": "virtio", "name": "org.qemu.guest_agent.0"})
