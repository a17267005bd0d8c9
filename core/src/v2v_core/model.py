# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that flow through a conversion, in the order in which they come into being.

    Guest ─▶ DiskService (how a disk is served) ─▶ DiskEndpoint ─▶ Inspection, Capabilities ─▶ TargetGuest

Sizes and offsets are bytes, times are seconds, disks are numbered from 1 (``in1``, ``out1``).
All records are frozen; adding a field with a default breaks no plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Firmware(StrEnum):
    """What the guest boots with; ``UNKNOWN`` means: find out from its disks."""

    BIOS = "bios"
    UEFI = "uefi"
    UNKNOWN = "unknown"


class Bus(StrEnum):
    """The bus that a disk or a removable drive is attached to."""

    IDE = "ide"
    SATA = "sata"
    SCSI = "scsi"
    NVME = "nvme"
    VIRTIO_BLK = "virtio-blk"
    VIRTIO_SCSI = "virtio-scsi"
    FLOPPY = "fdc"


@dataclass(frozen=True, kw_only=True)
class Topology:
    """How the virtual CPUs are laid out."""

    sockets: int
    cores: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The virtual CPUs."""

    count: int = 1
    vendor: str | None = None
    model: str | None = None
    topology: Topology | None = None


@dataclass(frozen=True, kw_only=True)
class Display:
    """The graphical console: kind is ``window``, ``vnc`` or ``spice``."""

    kind: str
    keymap: str | None = None
    password: str | None = field(default=None, repr=False)
    listen: str | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class SourceDisk:
    """A fixed disk of the source.

    ``size`` is the virtual size in bytes, None until it is served. ``origin`` is what to call the disk in messages.
    ``boot_order`` is its place among what the firmware tries to boot from, from 1, if the source says.
    """

    index: int
    bus: Bus | None = None
    size: int | None = None
    origin: str | None = None
    boot_order: int | None = None


@dataclass(frozen=True, kw_only=True)
class Removable:
    """A CD-ROM or floppy drive: kind is ``cdrom`` or ``floppy``, slot is the position on its bus, from 0."""

    kind: str
    bus: Bus | None = None
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A network interface: kind is ``network`` or ``bridge`` and ``network`` is the name of it."""

    network: str = "default"
    kind: str = "network"
    mac: str | None = None
    model: str | None = None


@dataclass(frozen=True, kw_only=True)
class StaticAddress:
    """An IP address that an interface of the guest is to have (``--mac MAC:ip:…``); IPv4 or IPv6.

    :param mac: of the interface, in small letters. :param gateway: of the same family as the address.
    :param prefix: its length in bits; None where the user did not say. :param nameservers: of any family.
    """

    mac: str
    address: str
    gateway: str | None = None
    prefix: int | None = None
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Guest:
    """The guest as the source hypervisor describes it (``metadata.in``).

    ``tpm`` is the version of its TPM (``1.2``, ``2.0``), None if it has none. ``os`` is what the source calls the
    operating system (``debian11_64Guest``): for people, the conversion looks into the disks.
    """

    name: str
    hypervisor: str = "unknown"
    memory: int = 2048 * 1024 * 1024
    cpu: Cpu = Cpu()
    features: tuple[str, ...] = ()
    firmware: Firmware = Firmware.UNKNOWN
    secure_boot: bool = False
    genid: str | None = None
    display: Display | None = None
    sound: str | None = None
    disks: tuple[SourceDisk, ...] = ()
    removables: tuple[Removable, ...] = ()
    nics: tuple[Nic, ...] = ()
    tpm: str | None = None
    os: str | None = None

    @property
    def boot_sequence(self) -> tuple[int, ...]:
        """The numbers of the disks in the order in which the firmware tries them: first those with a place in it."""
        disks = sorted(self.disks, key=lambda disk: (disk.boot_order is None, disk.boot_order or 0, disk.index))
        return tuple(disk.index for disk in disks)


@dataclass(frozen=True, kw_only=True)
class QemuImage:
    """A local image file or block device, to be opened by qemu with exactly this format.

    :param backing: the image below, opened with exactly *its* format. A reference in the header of the image is
        never followed: with None here, an image that names a backing file is opened without it.
    :param extra: further properties of the qemu block node, as in ``-blockdev`` (e.g. an offset into a file).
    """

    path: Path
    format: str
    backing: QemuImage | None = None
    offset: int | None = None
    size: int | None = None
    compressed: bool = False


@dataclass(frozen=True, kw_only=True)
class NbdkitFilter:
    """An nbdkit filter with its parameters."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class NbdkitPlugin:
    """A disk served by an nbdkit plugin.

    :param name: name of the plugin, or the path of one.
    :param parameters: ``key=value``, in order; never a secret, they are visible to every user of the machine.
    :param secrets: parameters whose values core hands to nbdkit as ``key=+FILE``, in a file that only this user reads.
    :param filters: outermost first. Core adds its own (retry, read-ahead) around them where they help.
    :param remote: the data comes over a network: core adds retries.
    :param environment: variables for the server; never a secret.
    :param threads: number of nbdkit's threads, 0 for its default.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    filters: tuple[NbdkitFilter, ...] = ()
    remote: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class NbdUri:
    """An NBD server that exists already and is somebody else's (nbd(5) URI)."""

    uri: str


DiskService = QemuImage | NbdkitPlugin | NbdUri


@dataclass(frozen=True, kw_only=True)
class DiskEndpoint:
    """A disk that is being served: NBD on a Unix socket of the conversion directory, or somebody else's URI."""

    index: int
    uri: str
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What was found in the guest; the words are those of libguestfs's inspection."""

    root: str
    os_type: str
    distro: str
    arch: str
    major_version: int = 0
    minor_version: int = 0
    osinfo: str | None = None
    product_name: str | None = None
    product_variant: str | None = None
    package_format: str | None = None
    package_management: str | None = None
    mountpoints: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What hardware the converted guest has drivers for, and so gets."""

    block_bus: Bus = Bus.VIRTIO_BLK
    net_model: str = "virtio"
    machine: str = "q35"
    arch: str = "x86_64"
    virtio_rng: bool = False
    virtio_balloon: bool = False
    virtio_socket: bool = False
    isa_pvpanic: bool = False
    virtio_1_0: bool = True
    rtc_utc: bool = True


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that the conversion did to the guest: which file (or package), what, and why."""

    path: str
    what: str
    why: str


@dataclass(frozen=True, kw_only=True)
class TargetDisk:
    """A fixed disk of the target: its bus and name there (``vda``), and its place in the boot order, from 1."""

    index: int
    bus: Bus
    device: str
    boot_order: int | None = None
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class TargetRemovable:
    """A removable drive of the target."""

    kind: str
    bus: Bus
    device: str


@dataclass(frozen=True, kw_only=True)
class TargetGuest:
    """The guest as the target will have it (``metadata.out``)."""

    source: Guest
    inspection: Inspection
    capabilities: Capabilities
    firmware: Firmware
    disks: tuple[TargetDisk, ...]
    removables: tuple[TargetRemovable, ...] = ()
    nics: tuple[Nic, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """The name of the guest at the source; the output may be asked for another one."""
        return self.source.name


@dataclass(frozen=True, kw_only=True)
class TargetProfile:
    """What guests can have at a target. An output plugin declares it; core assigns buses and firmware by it.

    :param buses: for fixed disks, the preferred one first. A guest gets the bus that its drivers ask for if it is one
        of these, else the first of these that every guest has a driver for (SATA, then IDE).
    :param machines: machine types, as ``Capabilities.machine`` names them. A guest gets the one that it asks for, else
        the first of these.
    :param firmware: what guests can boot with.
    :param most_disks: how many fixed disks a guest can have; None for no limit.
    :param serial_console: guests have a serial port. If not, the conversion takes their consoles on it away.
    """

    buses: tuple[Bus, ...] = (Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SATA, Bus.IDE, Bus.SCSI, Bus.NVME)
    machines: tuple[str, ...] = ("q35", "i440fx", "pc", "virt")
    firmware: tuple[Firmware, ...] = (Firmware.BIOS, Firmware.UEFI)
    most_disks: int | None = None
    serial_console: bool = True


@dataclass(frozen=True, kw_only=True)
class PluginOption:
    """A ``-io`` or ``-oo`` key that a plugin understands; core refuses all others.

    :param flag: takes true or false; the bare key means true.
    :param repeatable: may be given more than once.
    :param secret: its value is never shown.
    :param aliases: other spellings.
    """

    name: str
    help: str
    flag: bool = False
    repeatable: bool = False
    required: bool = False
    secret: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OptionValues:
    """The ``-io`` or ``-oo`` options of a run, checked against what the plugin declares."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def flag(self, name: str) -> bool:
        """Tell whether a flag was given and is true."""
        return self.values.get(name, ("false",))[-1] == "true"

    def one(self, name: str) -> str | None:
        """Give the value of an option, or None."""
        given = self.values.get(name)
        return given[-1] if given else None

    def all(self, name: str) -> tuple[str, ...]:
        """Give every value of a repeatable option, in the order of the command line."""
        return self.values.get(name, ())
