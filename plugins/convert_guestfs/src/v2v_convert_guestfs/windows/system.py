# SPDX-License-Identifier: GPL-2.0-or-later
"""What a Windows system is: the facts of its registry that the rooms of the conversion share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Product(StrEnum):
    r"""The kind of Windows (``Control\ProductOptions\ProductType``)."""

    CLIENT = "WinNT"
    SERVER = "ServerNT"
    DOMAIN_CONTROLLER = "LanmanNT"


@dataclass(frozen=True, kw_only=True)
class WindowsSystem:
    r"""A Windows system.

    :param systemroot: its directory in the guest, as it is spelt there: ``/Windows``.
    :param arch: libguestfs's name: ``i386``, ``x86_64``, ``aarch64``.
    :param version: of the kernel, such as (6, 1). :param build: 7601 for Windows 7 with SP1.
    :param osinfo: libosinfo's short identifier, such as ``win7``; None if it is not known.
    :param current: the control set that ran last. :param default: the one that starts next.
    :param driver_database: it has ``DriverDatabase`` (Windows 8 and later) in place of ``CriticalDeviceDatabase``.
    """

    systemroot: str
    arch: str
    version: tuple[int, int]
    build: int
    product: Product
    product_name: str
    osinfo: str | None
    current: str
    default: str
    driver_database: bool

    @property
    def control_sets(self) -> tuple[str, ...]:
        """The control sets that can start, the one that starts next first, each once."""
        return tuple(dict.fromkeys((self.default, self.current)))

    def at_least(self, major: int, minor: int = 0, build: int = 0) -> bool:
        """Return whether it is this version of Windows or a later one."""
        return (*self.version, self.build) >= (major, minor, build)
