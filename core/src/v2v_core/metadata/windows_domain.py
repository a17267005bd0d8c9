# SPDX-License-Identifier: GPL-2.0-or-later
"""What Windows needs of a libvirt domain: timers that do not drift, Hyper-V's interface, a TPM for Windows 11.

The values are those that libvirt's documentation recommends and virt-manager writes for Windows guests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from v2v_core.metadata.tree import add
from v2v_core.model import Firmware, TargetGuest

if TYPE_CHECKING:
    from lxml import etree

#: Attempts to take a spin lock before the guest tells the hypervisor; Hyper-V's own number is 0x1fff.
_SPINLOCK_RETRIES = "8191"
#: The first version of Windows that knows that it can run on Hyper-V: Vista and Server 2008.
_KNOWS_HYPERV = 6


def is_windows(target: TargetGuest) -> bool:
    """Return whether the guest is a Windows guest."""
    return target.inspection.os_type == "windows"


def add_timers(clock: etree._Element, target: TargetGuest, *, kvm: bool) -> None:
    """Add the timers of a PC with Windows. It counts the ticks of the RTC or the PIT, and all of them must arrive."""
    add(clock, "timer", {"name": "rtc", "tickpolicy": "catchup"})
    add(clock, "timer", {"name": "pit", "tickpolicy": "delay"})
    add(clock, "timer", {"name": "hpet", "present": "no"})
    if kvm and knows_hyperv(target):
        add(clock, "timer", {"name": "hypervclock", "present": "yes"})


def add_hyperv(features: etree._Element) -> None:
    """Add the parts of Hyper-V's interface that every host with KVM has."""
    hyperv = add(features, "hyperv", {"mode": "custom"})
    add(hyperv, "relaxed", {"state": "on"})
    add(hyperv, "vapic", {"state": "on"})
    add(hyperv, "spinlocks", {"state": "on", "retries": _SPINLOCK_RETRIES})


def knows_hyperv(target: TargetGuest) -> bool:
    """Return whether the guest uses Hyper-V's interface where it finds it."""
    return is_windows(target) and target.inspection.major_version >= _KNOWS_HYPERV


def needed_tpm(target: TargetGuest) -> str | None:
    """Return the version of the TPM that the guest needs, whatever the source had; None if it needs none.

    Windows 11 needs one on UEFI: features such as Windows Hello and later updates refuse to work without it. On a BIOS
    it was installed past its own checks, and runs as before.
    """
    return "2.0" if target.inspection.osinfo == "win11" and target.firmware is Firmware.UEFI else None
