# SPDX-License-Identifier: GPL-2.0-or-later
"""The records that describe a Windows guest."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

from windows_images.programs import Arch
from windows_images.regf import Tree


@dataclasses.dataclass(frozen=True)
class Nic:
    """A network card of the source.

    :param address: static, with the length of its prefix: ``192.0.2.10/24``; "" for one from a DHCP server.
    """

    mac: str
    address: str = ""
    gateway: str = ""
    dns: tuple[str, ...] = ()
    name: str = "Ethernet0"
    kind: Literal["e1000e", "vmxnet3", "e1000"] = "e1000e"


@dataclasses.dataclass(frozen=True)
class DataDisk:
    """A second disk with an NTFS partition."""

    letter: str = "E"
    size: int = 32
    signature: int = 0x7A51C0DE


@dataclasses.dataclass(frozen=True, kw_only=True)
class Windows:
    """A Windows guest.

    :param hives: where they come from: made here ("phony"), or real ones ("windows-7", "windows-10-system").
    :param version: of the kernel, such as (6, 1). :param kind: ``ProductType``.
    :param installation: ``InstallationType``, from Vista on. :param signature: of the disk with an MBR.
    :param start: the first sector of the partition of a disk with an MBR.
    :param control_sets: the numbers that Windows has. :param current: and which ran last and which starts next.
    :param tools: it has VMware Tools.
    :param system: more of the hive SYSTEM, merged with what is made; likewise ``software``.
    :param files: more files, or other ones, by their paths: ``hiberfil.sys``.
    :param filler: MiB of a file that only takes up room.
    :param dirty_hives: names of hives that Windows did not finish writing.
    :param dirty: Windows did not unmount its file system.
    :param partition_type: of the partition with Windows on a disk with an MBR (7, or 42 for a dynamic disk).
    """

    name: str
    hives: Literal["phony", "windows-7", "windows-10-system"] = "phony"
    version: tuple[int, int]
    build: int
    product: str
    edition: str
    kind: Literal["WinNT", "ServerNT", "LanmanNT"] = "WinNT"
    installation: Literal["Client", "Server", "Server Core", ""] = "Client"
    service_pack: str = ""
    display_version: str = ""
    arch: Arch = "x86_64"
    uefi: bool = False
    size: int = 160
    signature: int = 0x1B2C3D4E
    start: int = 2048
    control_sets: tuple[int, ...] = (1,)
    current: int = 1
    default: int = 1
    nics: tuple[Nic, ...] = (Nic("00:0c:29:66:1a:a2"),)
    data_disk: DataDisk | None = None
    tools: bool = True
    system: Tree = dataclasses.field(default_factory=dict)
    software: Tree = dataclasses.field(default_factory=dict)
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    filler: int = 0
    dirty_hives: tuple[str, ...] = ()
    dirty: bool = False
    partition_type: str = "7"

    @property
    def disk_names(self) -> tuple[str, ...]:
        """Return the file names of its disks."""
        return ("sda.img", "sdb.img") if self.data_disk else ("sda.img",)

    @property
    def driver_database(self) -> bool:
        """Return whether Windows has DriverDatabase: since Windows 8."""
        return self.version >= (6, 2)

    @property
    def vista(self) -> bool:
        """Return whether it is Windows Vista or a later one, which boots with a BCD."""
        return self.version >= (6, 0)
