# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest's connections are to have on KVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from v2v_convert_guestfs.wanted_addresses import Interface
from v2v_convert_guestfs.windows.network.adapters import Adapter
from v2v_convert_guestfs.windows.network.settings import IpSettings


@dataclass(frozen=True)
class Replay:
    """The settings that a NIC gets at first boot.

    :param mac: of the NIC at the target. :param adapter: that had them; None if only the user asked for them.
    :param name: that the connection gets again, or None. :param why: how it is known that they are this NIC's.
    """

    mac: str
    settings: IpSettings
    adapter: Adapter | None = None
    name: str | None = None
    why: str = ""


@dataclass(frozen=True)
class ReplayedAddress:
    """A static address that the first boot sets, for the examination of the result."""

    mac: str
    address: Interface


@dataclass(frozen=True)
class NetworkPlan:
    """What becomes of the guest's network settings.

    :param cleared: adapters whose addresses are removed: they no longer exist, and nothing else may have the address.
    :param macs: MAC addresses that the guest remembers, by the position of NICs for which the source states none.
    """

    replays: tuple[Replay, ...] = ()
    cleared: tuple[Adapter, ...] = ()
    macs: Mapping[int, str] = field(default_factory=dict)

    @property
    def replayed(self) -> tuple[ReplayedAddress, ...]:
        """One record for each static address."""
        return tuple(ReplayedAddress(one.mac, address) for one in self.replays for address in one.settings.addresses)
