# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest can have in oVirt, and the hardware of the OVF except for the disks: processors, memory and devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from v2v_core.api import Bus, Firmware, Nic, TargetGuest, TargetProfile, Topology
from v2v_output_rhv.ovf.tree import add, uuid_of

if TYPE_CHECKING:
    from lxml import etree

#: What a guest can have in oVirt, for all outputs of this distribution:
#:
#: * Buses: the disk interfaces of oVirt that the OVF can name (``disks.py``).
#: * Machines: those that the OVF can ask for (``bios_type``). Only a q35 has UEFI. On architectures other than x86
#:   (``virt``) the cluster chooses the machine.
#: * Disks: virt-v2v takes no more than 23 in ``-o rhv``, ``-o rhv-upload`` and ``-o vdsm``: a virtual machine of oVirt
#:   has too few PCI slots for more virtio disks (https://bugzilla.redhat.com/2051564).
#: * Blocks: neither the OVF nor the API can say how large the logical blocks of a disk are. Guests see 512 bytes on
#:   every storage domain, also on those with blocks of 4 KiB.
#: * Serial console: oVirt has none unless the administrator adds one to the virtual machine.
PROFILE = TargetProfile(
    buses=(Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SATA, Bus.IDE),
    machines=("q35", "i440fx", "pc", "virt"),
    # oVirt's i440fx always has SeaBIOS
    without_uefi=("i440fx", "pc"),
    most_disks=23,
    block_sizes=(512,),
    serial_console=False,
)

_MIB = 1024**2
_INTEL = frozenset(("x86_64", "amd64", "i386", "i486", "i586", "i686"))
#: oVirt's numbers of chipset and firmware, without those for its internal use. Secure Boot would be 3; it is not used
#: because it needs keys to be enrolled in the new machine.
_BIOS_TYPES = {
    ("i440fx", Firmware.BIOS): 0,
    ("pc", Firmware.BIOS): 0,
    ("q35", Firmware.BIOS): 1,
    ("q35", Firmware.UEFI): 2,
    # A conversion that knows the target gives these guests a q35, or refuses them. One that does not know it has left
    # the machine open. No number at all would mean the firmware of the cluster, which may be a BIOS.
    ("i440fx", Firmware.UEFI): 2,
    ("pc", Firmware.UEFI): 2,
}
_OTHER_MACHINES = 0
#: oVirt's numbers of the origin of a guest, by the name of the hypervisor.
_ORIGINS = {"vmware": 1, "esx": 1, "vpx": 1, "xen": 2, "kvm": 7, "qemu": 7, "physical": 8, "hyperv": 9, "hyper-v": 9}
_NIC_MODELS = {"rtl8139": 1, "e1000": 2, "virtio": 3}
#: What every engine has in the place of models that only newer ones have. Windows has drivers for both.
_OLDER_NICS = {"e1000e": "e1000"}
#: The sound devices that oVirt can emulate, by their names in other hypervisors.
_SOUNDS = {"ac97": "ac97", "ich6": "ich6", "hda": "ich6", "hdaudio": "ich6", "hd-audio": "ich6"}


def bios_type(target: TargetGuest) -> int | None:
    """Return oVirt's number of the chipset and firmware; None leaves the choice to the cluster."""
    if target.capabilities.arch not in _INTEL:
        return _OTHER_MACHINES
    return _BIOS_TYPES.get((target.capabilities.machine, target.firmware))


def origin(target: TargetGuest) -> int | None:
    """Return oVirt's number of the hypervisor at the source, or None if oVirt has none."""
    return _ORIGINS.get(target.source.hypervisor.lower())


def summary(target: TargetGuest) -> str:
    """Return the line that sums up the hardware."""
    return f"{_cpus(target)} CPU, {_mebibytes(target)} Memory"


class HardwareWriter:
    """Writes the hardware items of one guest.

    :param video: the resource type of the graphics device in this flavour.
    :param warn: called with a text for each thing that oVirt cannot give the guest.
    """

    def __init__(self, target: TargetGuest, *, vm_id: str, video: int, warn: Callable[[str], None]) -> None:
        self._target = target
        self._vm_id = vm_id
        self._video = video
        self._warn = warn

    def add_machine(self, hardware: etree._Element) -> None:
        """Add what every machine has, and the devices that the guest has drivers for."""
        self._add_cpu(hardware)
        self._add_memory(hardware)
        item = add(hardware, "Item")
        add(item, "rasd:Caption", "USB Controller")
        add(item, "rasd:InstanceId", 3)
        add(item, "rasd:ResourceType", 23)
        add(item, "rasd:UsbPolicy", "Disabled")
        item = add(hardware, "Item")
        add(item, "rasd:Caption", "Graphical Controller")
        add(item, "rasd:InstanceId", uuid_of(self._vm_id, "video"))
        add(item, "rasd:ResourceType", self._video)
        add(item, "Type", "video")
        add(item, "rasd:VirtualQuantity", 1)
        # every guest has a driver for VGA
        add(item, "Device", "vga")
        if self._target.capabilities.virtio_rng:
            self._add_device(hardware, "RNG Device", kind="rng", device="virtio", parameter=("source", "urandom"))
        if self._target.capabilities.virtio_balloon:
            self._add_device(
                hardware,
                "Memory Ballooning Device",
                kind="balloon",
                device="memballoon",
                parameter=("model", "virtio"),
            )
        display = self._target.source.display
        if display is not None and display.password is not None:
            self._warn("the display of the guest had a password, which oVirt does not import: oVirt sets its own")

    def add_nic(self, hardware: etree._Element, number: int, nic: Nic) -> None:
        """Add a network interface, numbered from 0."""
        wanted = self._target.capabilities.net_model
        model = _OLDER_NICS.get(wanted, wanted)
        if model not in _NIC_MODELS:
            self._warn(f"oVirt has no network interface {model!r}: eth{number} becomes rtl8139")
        item = add(hardware, "Item")
        add(item, "rasd:InstanceId", uuid_of(self._vm_id, f"nic {number}"))
        add(item, "rasd:Caption", f"Ethernet adapter on {nic.network}")
        add(item, "rasd:ResourceType", 10)
        add(item, "rasd:ResourceSubType", _NIC_MODELS.get(model, _NIC_MODELS["rtl8139"]))
        add(item, "Type", "interface")
        add(item, "rasd:Connection", nic.network)
        add(item, "rasd:Name", f"eth{number}")
        if nic.mac is not None:
            add(item, "rasd:MACAddress", nic.mac)

    def add_sound(self, hardware: etree._Element) -> None:
        """Add the sound device, if the guest had one and oVirt has the same one."""
        sound = self._target.source.sound
        if sound is None:
            return
        device = _SOUNDS.get(sound.lower())
        if device is None:
            self._warn(f"the sound device {sound!r} is left out: oVirt does not have it")
            return
        item = add(hardware, "Item")
        add(item, "rasd:InstanceId", uuid_of(self._vm_id, "sound"))
        add(item, "rasd:ResourceType", 0)
        add(item, "Type", "sound")
        add(item, "Device", device)

    def _add_cpu(self, hardware: etree._Element) -> None:
        item = add(hardware, "Item")
        add(item, "rasd:Caption", f"{_cpus(self._target)} virtual cpu")
        add(item, "rasd:Description", "Number of virtual CPU")
        add(item, "rasd:InstanceId", 1)
        add(item, "rasd:ResourceType", 3)
        topology = self._topology()
        if topology is None:
            add(item, "rasd:num_of_sockets", 1)
            add(item, "rasd:cpu_per_socket", _cpus(self._target))
            return
        add(item, "rasd:num_of_sockets", topology.sockets)
        add(item, "rasd:cpu_per_socket", topology.cores)
        add(item, "rasd:threads_per_cpu", topology.threads)

    def _topology(self) -> Topology | None:
        """Return the topology of the source, or None if it gives another number of processors than the guest has."""
        topology = self._target.source.cpu.topology
        if topology is None or topology.sockets * topology.cores * topology.threads == _cpus(self._target):
            return topology
        self._warn(
            f"the CPU topology of the source ({topology.sockets} sockets, {topology.cores} cores,"
            f" {topology.threads} threads) does not give {_cpus(self._target)} CPUs and is left out"
        )
        return None

    def _add_memory(self, hardware: etree._Element) -> None:
        size = _mebibytes(self._target)
        item = add(hardware, "Item")
        add(item, "rasd:Caption", f"{size} MB of memory")
        add(item, "rasd:Description", "Memory Size")
        add(item, "rasd:InstanceId", 2)
        add(item, "rasd:ResourceType", 4)
        add(item, "rasd:AllocationUnits", "MegaBytes")
        add(item, "rasd:VirtualQuantity", size)

    def _add_device(
        self, hardware: etree._Element, caption: str, *, kind: str, device: str, parameter: tuple[str, str]
    ) -> None:
        item = add(hardware, "Item")
        add(item, "rasd:Caption", caption)
        add(item, "rasd:InstanceId", uuid_of(self._vm_id, kind))
        add(item, "rasd:ResourceType", 0)
        add(item, "Type", kind)
        add(item, "Device", device)
        add(add(item, "SpecParams"), *parameter)


def _cpus(target: TargetGuest) -> int:
    return max(target.source.cpu.count, 1)


def _mebibytes(target: TargetGuest) -> int:
    # rounded up: a little more memory than before does no harm, a little less might
    return max(-(-target.source.memory // _MIB), 1)
