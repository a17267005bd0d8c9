# SPDX-License-Identifier: GPL-2.0-or-later
"""The values that flow through a conversion, in the order in which they are created.

    Guest ─▶ DiskService (how a disk is served) ─▶ DiskEndpoint ─▶ Inspection, Capabilities ─▶ TargetGuest

Sizes and offsets are bytes, times are seconds, disks are numbered from 1 (``in1``, ``out1``).
All records are frozen. New fields have defaults, so that they break no plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Firmware(StrEnum):
    """The firmware of a guest; ``UNKNOWN`` means that the conversion finds it out from the disks."""

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
    """The numbers of sockets, of cores per socket, and of threads per core."""

    sockets: int
    cores: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Cpu:
    """The virtual CPUs: how many, and the vendor and model that the source names (``Intel``, ``Nehalem``)."""

    count: int = 1
    vendor: str | None = None
    model: str | None = None
    topology: Topology | None = None


@dataclass(frozen=True, kw_only=True)
class Display:
    """The graphical console: kind is ``window``, ``vnc`` or ``spice``.

    :param keymap: as QEMU names keyboard layouts (``en-us``).
    :param listen: the address that the server listens on. :param port: TCP port, None for any.
    """

    kind: str
    keymap: str | None = None
    password: str | None = field(default=None, repr=False)
    listen: str | None = None
    port: int | None = None


@dataclass(frozen=True, kw_only=True)
class SourceDisk:
    """A fixed disk of the source.

    :param index: number of the disk, from 1.
    :param size: virtual size in bytes; None until the disk is served.
    :param origin: name of the disk in messages, such as its path at the source.
    :param boot_order: place among the devices that the firmware tries to boot, from 1; None if the source has none.
    :param block_size: bytes of a logical block, which partition tables count in; None if the source does not say.
    :param controller: number of its controller among those of the bus, from 0; None if unknown.
    :param unit: its number on the controller, from 0: the target of ``scsi0:3`` is 3; None if unknown.
    :param serial: its serial number as the guest sees it, or None.
    """

    index: int
    bus: Bus | None = None
    size: int | None = None
    origin: str | None = None
    boot_order: int | None = None
    block_size: int | None = None
    controller: int | None = None
    unit: int | None = None
    serial: str | None = None


@dataclass(frozen=True, kw_only=True)
class Removable:
    """A CD-ROM or floppy drive: kind is ``cdrom`` or ``floppy``, slot is the position on the bus, from 0."""

    kind: str
    bus: Bus | None = None
    slot: int | None = None


@dataclass(frozen=True, kw_only=True)
class Nic:
    """A network interface: kind is ``network`` or ``bridge``, and ``network`` is the name of that network or bridge.

    :param pci_slot: number of the PCI slot at the source, as VMware counts (``ethernet0.pciSlotNumber``). The kernel of
        the guest takes a name from it, for example ``ens160``.
    :param mac_is_new: whether the source states no MAC address, and this one was made for the target.
    """

    network: str = "default"
    kind: str = "network"
    mac: str | None = None
    model: str | None = None
    pci_slot: int | None = None
    mac_is_new: bool = False


@dataclass(frozen=True, kw_only=True)
class StaticAddress:
    """An IPv4 or IPv6 address that the user wants an interface of the guest to have (``--mac MAC:ip:…``).

    :param mac: MAC address of the interface, in small letters.
    :param gateway: address of the same family.
    :param prefix: length of the network prefix in bits; None if the user gave none.
    :param nameservers: addresses of either family.
    """

    mac: str
    address: str
    gateway: str | None = None
    prefix: int | None = None
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Guest:
    """The guest as the source hypervisor describes it (``metadata.in``).

    :param hypervisor: name of the source hypervisor, in libvirt's words where it has one (``vmware``, ``xen``).
    :param memory: bytes.
    :param features: libvirt's names of hypervisor features (``acpi``, ``apic``, ``pae``).
    :param genid: UUID that changes when the guest is cloned or restored (VM Generation ID).
    :param sound: model of the sound device; None if there is none.
    :param tpm: version of the TPM (``1.2``, ``2.0``); None if there is none.
    :param vsock: it has a virtio socket to its host.
    :param os: the source's name of the operating system (``debian11_64Guest``), for display only: the conversion finds
        the operating system in the disks.
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
    vsock: bool = False

    @property
    def boot_sequence(self) -> tuple[int, ...]:
        """The numbers of the disks in the order in which the firmware tries them: those with a ``boot_order`` first."""
        disks = sorted(self.disks, key=lambda disk: (disk.boot_order is None, disk.boot_order or 0, disk.index))
        return tuple(disk.index for disk in disks)


@dataclass(frozen=True, kw_only=True)
class QemuImage:
    """A local image file or block device, which qemu opens with exactly this format.

    :param format: name of qemu's block driver: ``raw``, ``qcow2``, ``vmdk``, …
    :param backing: the backing image, opened with exactly *its* format. A reference in the header of the image is
        never followed: with None, an image whose header names a backing file is opened without it.
    :param offset: bytes; where the image begins in the file. None for the beginning.
    :param size: bytes; how much of the file belongs to the image. None for the rest of the file.
    :param compressed: compress the data that is written.
    """

    path: Path
    format: str
    backing: QemuImage | None = None
    offset: int | None = None
    size: int | None = None
    compressed: bool = False


@dataclass(frozen=True, kw_only=True)
class NbdkitFilter:
    """An nbdkit filter with its parameters (nbdkit-filter(3))."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class NbdkitPlugin:
    """A disk served by an nbdkit plugin.

    :param name: name or path of the plugin.
    :param parameters: ``key=value``, in order. Never a secret: every user of the machine can see them.
    :param secrets: parameters whose values core passes as ``key=+FILE``, in a file that only this user can read.
    :param filters: the outermost first. Core adds its own (retry, read-ahead) around them where they help.
    :param remote: the data comes over a network, and core adds retries.
    :param environment: environment variables of the server. Never a secret.
    :param threads: number of nbdkit's threads; 0 for its default.
    :param single: a second connection to the source would make it slower, or is refused (VDDK). Core then reads
        everything through one.
    """

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    filters: tuple[NbdkitFilter, ...] = ()
    remote: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    threads: int = 0
    single: bool = False


@dataclass(frozen=True, kw_only=True)
class NbdUri:
    """An NBD server that runs already and that core neither starts nor stops.

    :param uri: NBD URI (https://github.com/NetworkBlockDevice/nbd, doc/uri.md).
    """

    uri: str


DiskService = QemuImage | NbdkitPlugin | NbdUri


@dataclass(frozen=True, kw_only=True)
class DiskEndpoint:
    """A disk that is being served.

    :param uri: NBD URI: of a Unix socket in the conversion directory, or of a server that core did not start.
    :param size: virtual size in bytes.
    """

    index: int
    uri: str
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class WindowsInspection:
    """What only Windows has.

    :param systemroot: its directory in the guest (``/Windows``).
    :param current_control_set: the control set that ran last. :param default_control_set: the one that starts next.
    :param group_policy: the guest has policies of its domain or of its administrator.
    :param product: ``WinNT`` (a client), ``ServerNT``, or ``LanmanNT`` (a domain controller).
    :param drive_letters: pairs of a letter and a device.
    """

    systemroot: str
    current_control_set: str
    default_control_set: str
    software_hive: str
    system_hive: str
    build: int = 0
    product: str = "WinNT"
    group_policy: bool = False
    antivirus: bool = False
    drive_letters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What the conversion found in the guest; the words are those of libguestfs's inspection (guestfs(3)).

    :param root: device of the root file system.
    :param osinfo: libosinfo's short identifier of the operating system (``debian11``).
    :param mountpoints: pairs of a directory in the guest and a device.
    :param windows: what only Windows has; None for other systems.
    """

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
    windows: WindowsInspection | None = None


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The hardware that the converted guest has drivers for, and therefore gets.

    :param machine: ``q35``, ``i440fx``, ``pc`` or ``virt``.
    :param virtio_socket: the guest has the driver. It gets the device only if it had one at the source.
    :param virtio_1_0: the drivers know version 1.0 of virtio, and not only the one before it.
    :param rtc_utc: the guest expects its hardware clock to be in UTC, and not in local time.
    """

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


class ChangeKind(StrEnum):
    """What a change is about."""

    FILE = "file"
    PACKAGE = "package"
    REGISTRY = "registry"


@dataclass(frozen=True, kw_only=True)
class Change:
    r"""One change that the conversion made in the guest.

    :param path: the file, the package, or the key of the registry with its hive (``SYSTEM\Select``).
    :param value: name of the value of a registry key, "" for its default value; None if the key itself was changed.
    """

    path: str
    what: str
    why: str
    kind: ChangeKind = ChangeKind.FILE
    value: str | None = None

    @property
    def place(self) -> str:
        r"""What was changed, in one text: ``SYSTEM\Select, value Current``."""
        if self.value is None:
            return self.path
        return f"{self.path}, value {self.value}" if self.value else f"{self.path}, default value"


class Verdict(StrEnum):
    """What the examination of a result says about a fact."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One fact about the converted guest, examined by another reader than the writer.

    :param name: what must be true, in words. :param detail: what was found.
    """

    name: str
    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class TargetDisk:
    """A fixed disk of the target: its bus, its device name (``vda``), its place in the boot order from 1, its bytes.

    :param block_size: bytes of a logical block. A guest finds its partitions only with the size that it had before.
    """

    index: int
    bus: Bus
    device: str
    boot_order: int | None = None
    size: int | None = None
    block_size: int = 512


@dataclass(frozen=True, kw_only=True)
class TargetRemovable:
    """A removable drive of the target: kind is ``cdrom`` or ``floppy``, device its name (``sda``)."""

    kind: str
    bus: Bus
    device: str


@dataclass(frozen=True, kw_only=True)
class TargetGuest:
    """The guest as it will be at the target (``metadata.out``)."""

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
        """The name of the guest at the source; the user can choose another one for the target (``-on``)."""
        return self.source.name


@dataclass(frozen=True, kw_only=True)
class TargetProfile:
    """What guests can have at a target. An output plugin declares it; core assigns buses and firmware by it.

    :param buses: for fixed disks, the preferred one first. A guest gets the bus that its drivers ask for if it is one
        of these, else the first of these that every guest has a driver for (SATA, then IDE).
    :param machines: machine types, as ``Capabilities.machine`` names them; empty for all. A guest gets the one that it
        asks for, else the first of these.
    :param firmware: what guests can boot with.
    :param without_uefi: machine types that have no UEFI there.
    :param most_disks: how many fixed disks a guest can have; None for no limit.
    :param block_sizes: bytes of a logical block that disks can have. Guests with others are refused before the copy.
    :param serial_console: guests have a serial port. If false, the conversion removes the guest's serial consoles.
    :param networks: what the output writes names the networks of the guest. If false, the user is not told about
        networks that keep their names.
    """

    buses: tuple[Bus, ...] = (Bus.VIRTIO_BLK, Bus.VIRTIO_SCSI, Bus.SATA, Bus.IDE, Bus.SCSI, Bus.NVME)
    machines: tuple[str, ...] = ()
    firmware: tuple[Firmware, ...] = (Firmware.BIOS, Firmware.UEFI)
    most_disks: int | None = None
    block_sizes: tuple[int, ...] = (512, 4096)
    serial_console: bool = True
    networks: bool = True
    without_uefi: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PluginOption:
    """A ``-io`` or ``-oo`` key that a plugin understands; core refuses all others.

    :param help: one line for ``--help``.
    :param flag: the value is true or false; the key without a value means true.
    :param repeatable: the key may be given more than once.
    :param secret: the value is never shown.
    :param aliases: other spellings of the key.
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
    """The ``-io`` or ``-oo`` options of a run, checked against the plugin's declarations."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def flag(self, name: str) -> bool:
        """Return whether a flag was given and is true."""
        return self.values.get(name, ("false",))[-1] == "true"

    def one(self, name: str) -> str | None:
        """Return the value of an option, or None if it was not given."""
        given = self.values.get(name)
        return given[-1] if given else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return all values of a repeatable option, in the order of the command line."""
        return self.values.get(name, ())
