# SPDX-License-Identifier: GPL-2.0-or-later
"""The hardware of the converted guest, as the rest of the conversion knows it."""

from __future__ import annotations

from v2v_convert_guestfs.windows.drivers.plan import DriversPlan
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Capabilities


def capabilities(guest: WindowsGuest, drivers_plan: DriversPlan, *, rtc_utc: bool) -> Capabilities:
    """Return the hardware for a guest with these drivers.

    :param rtc_utc: Windows takes the hardware clock for UTC, and not for local time.
    """
    return Capabilities(
        block_bus=drivers_plan.block_bus,
        net_model=drivers_plan.net_model,
        machine=drivers_plan.machine,
        arch=guest.system.arch,
        virtio_rng=drivers_plan.virtio_rng,
        virtio_balloon=drivers_plan.virtio_balloon,
        virtio_socket=drivers_plan.virtio_socket,
        isa_pvpanic=drivers_plan.isa_pvpanic,
        virtio_1_0=drivers_plan.virtio_1_0,
        rtc_utc=rtc_utc,
    )
