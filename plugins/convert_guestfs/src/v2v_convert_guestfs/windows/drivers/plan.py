# SPDX-License-Identifier: GPL-2.0-or-later
"""What the examination decided about a guest's drivers: its hardware, and the changes that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from v2v_convert_guestfs.windows.registry.hives import Edit, HiveName
from v2v_convert_guestfs.windows.registry.values import Value
from v2v_core.api import Bus

#: Where the drivers wait for Windows to install them.
DIRECTORY = "Drivers/VirtIO"
SCSI_CLASS = "{4D36E97B-E325-11CE-BFC1-08002BE10318}"


@dataclass(frozen=True)
class GuestFile:
    """A file to write into the guest. ``path`` is one of the appliance."""

    path: str
    content: bytes = field(repr=False)
    why: str


@dataclass(frozen=True, kw_only=True)
class BootDriver:
    r"""The driver of the bus that the guest boots from, as the converted guest has it.

    :param service: the key below ``Services``. :param path: the driver's file in the guest, in the appliance's words.
    :param image_path: the same as the service names it. :param group: its load order group.
    :param sha256: of the file; "" if the appliance cannot read it. :param machine: its machine type (PE).
    :param ids: the devices that the registry assigns to it, such as ``PCI\VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01``;
        none for the drivers of Windows itself.
    :param inf: the name of its INF in ``%SystemRoot%\INF`` (``oem5.inf``); None if the registry has no such database.
    :param package: the key below ``DriverPackages``, with ``inf``.
    :param catalogue: the path of its catalogue in the guest; None if it brings none.
    :param own: it is the guest's own, and only enabled.
    """

    service: str
    path: str
    image_path: str
    group: str
    sha256: str
    machine: int
    ids: tuple[str, ...] = ()
    inf: str | None = None
    package: str | None = None
    catalogue: str | None = None
    own: bool = False


@dataclass(frozen=True, kw_only=True)
class DriversPlan:
    """The guest's hardware, and what gives it the drivers.

    :param virtio_1_0: the drivers know version 1.0 of virtio.
    :param machine: ``q35``, ``i440fx`` or ``virt``. :param boot_driver: None only if there is a blocker.
    :param files: to write. :param edits: of the registry.
    :param infs: the names of INFs in the directory of the drivers, for the first boot.
    :param agent_msi: the installer of the QEMU guest agent: name and content; None if there is none.
    :param balloon_service: name and content of ``blnsvr.exe``, which lies in the directory of the drivers.
    """

    block_bus: Bus
    net_model: str
    machine: str
    virtio_rng: bool = False
    virtio_balloon: bool = False
    virtio_socket: bool = False
    isa_pvpanic: bool = False
    virtio_1_0: bool = True
    boot_driver: BootDriver | None = None
    files: tuple[GuestFile, ...] = ()
    edits: tuple[Edit, ...] = ()
    infs: tuple[str, ...] = ()
    agent_msi: tuple[str, bytes] | None = field(default=None, repr=False)
    balloon_service: tuple[str, bytes] | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes of all files that the guest gets."""
        return sum(len(file.content) for file in self.files)


class Edits:
    """Collects edits of the registry."""

    def __init__(self) -> None:
        """Start without any."""
        self.all: list[Edit] = []

    def set(self, key: str, name: str, value: Value, *, why: str, hive: HiveName = HiveName.SYSTEM) -> None:
        """Set a value."""
        self.all.append(Edit(hive, key, name, value, why))

    def delete_key(self, key: str, *, why: str, hive: HiveName = HiveName.SYSTEM) -> None:
        """Delete a key."""
        self.all.append(Edit(hive, key, None, None, why))
