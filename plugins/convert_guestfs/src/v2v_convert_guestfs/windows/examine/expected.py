# SPDX-License-Identifier: GPL-2.0-or-later
"""What a converted guest must have. The plans of the conversion's rooms fit in as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from typing import Protocol

from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Fact


class BootDriver(Protocol):
    """The driver of the disk that the guest boots from."""

    @property
    def service(self) -> str:
        """The key below ``Services``."""

    @property
    def path(self) -> str:
        """The driver's file in the guest, as a path of the appliance."""

    @property
    def image_path(self) -> str:
        """The same as the service names it."""

    @property
    def group(self) -> str:
        """Its load order group."""

    @property
    def sha256(self) -> str:
        """Of the file at its source; "" if that is not known."""

    @property
    def machine(self) -> int:
        """The machine type of the program."""

    @property
    def ids(self) -> Sequence[str]:
        r"""The devices for which the registry must name it (``PCI\VEN_…``); none for a driver of Windows itself."""

    @property
    def inf(self) -> str | None:
        """The name of its INF in the driver database; None if it is not in one."""

    @property
    def package(self) -> str | None:
        """The key of its package in the driver database."""

    @property
    def catalogue(self) -> str | None:
        """The path of its catalogue in the guest; None if it has none."""


class WrittenFile(Protocol):
    """A file that the guest got."""

    @property
    def path(self) -> str:
        """Its path in the appliance."""

    @property
    def content(self) -> bytes:
        """Its content at the source."""


class FirstBootService(Protocol):
    """The service of the first boot."""

    @property
    def service(self) -> str:
        """The key below ``Services``."""

    @property
    def image_path(self) -> str:
        """What the service runs."""

    @property
    def files(self) -> Sequence[str]:
        """All its files, as paths of the appliance."""


class StaticAddress(Protocol):
    """A static address that the first boot sets."""

    @property
    def mac(self) -> str:
        """Of the NIC at the target."""

    @property
    def address(self) -> IPv4Interface | IPv6Interface:
        """The address with its network."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the conversion has promised.

    :param driver: None if the guest boots with a driver that was not touched. :param files: of the drivers.
    :param first_boot: None if there is nothing to do at the first boot. :param addresses: each is set once.
    :param boot_facts: examines how Windows starts.
    """

    driver: BootDriver | None = None
    files: Sequence[WrittenFile] = ()
    first_boot: FirstBootService | None = None
    addresses: Sequence[StaticAddress] = ()
    boot_facts: Callable[[WindowsGuest], tuple[Fact, ...]] | None = None
