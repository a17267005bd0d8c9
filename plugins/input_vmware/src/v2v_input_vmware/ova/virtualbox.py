# SPDX-License-Identifier: GPL-2.0-or-later
"""Read the section ``vbox:Machine`` that VirtualBox adds to OVF descriptors.

It holds what the other sections of VirtualBox's exports do not: the firmware, the MAC addresses and the TPM. Its format
is that of VirtualBox's settings files (VirtualBox-settings.xsd in its sources).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lxml import etree

from v2v_core.api import Firmware
from v2v_input_vmware.ova.elements import all_named, attribute, local

_NAMESPACE = "http://www.virtualbox.org/"
_TPM = {"v1_2": "1.2", "v2_0": "2.0"}
_MAC = re.compile(r"[0-9A-Fa-f]{12}")
#: VirtualBox has at most 36 adapters.
_MOST_ADAPTERS = 36


@dataclass(frozen=True, kw_only=True)
class VirtualBoxMachine:
    """The machine as VirtualBox describes it.

    :param macs: addresses of the enabled network adapters in the order of their slots; None where there is none.
    """

    name: str | None = None
    os: str | None = None
    firmware: Firmware = Firmware.UNKNOWN
    macs: tuple[str | None, ...] = ()
    tpm: str | None = None


def read_virtualbox(system: etree._Element) -> VirtualBoxMachine:
    """Return what VirtualBox's section says; without such a section, nothing is known."""
    machines = [each for each in all_named(system, "Machine") if str(each.tag).startswith(f"{{{_NAMESPACE}")]
    if not machines:
        return VirtualBoxMachine()
    machine = machines[0]
    name, system_type = attribute(machine, "name"), attribute(machine, "OSType")
    # the snapshots of the machine have hardware of their own, further down
    hardware = _child(machine, "Hardware")
    if hardware is None:
        return VirtualBoxMachine(name=name, os=system_type)
    firmware, tpm = _child(hardware, "Firmware"), _child(hardware, "TrustedPlatformModule")
    kind = (attribute(firmware, "type") or "") if firmware is not None else ""
    return VirtualBoxMachine(
        name=name,
        os=system_type,
        # EFI, EFI32, EFI64, EFIDUAL; BIOS is the default and often left out
        firmware=Firmware.UEFI if kind.upper().startswith("EFI") else Firmware.BIOS,
        macs=_macs(hardware),
        tpm=_TPM.get(attribute(tpm, "type") or "") if tpm is not None else None,
    )


def _macs(hardware: etree._Element) -> tuple[str | None, ...]:
    network = _child(hardware, "Network")
    adapters = [] if network is None else [each for each in network if _is(each, "Adapter")]
    slots: dict[int, str | None] = {}
    for adapter in adapters:
        slot = attribute(adapter, "slot") or ""
        if (attribute(adapter, "enabled") or "").lower() == "true" and slot.isascii() and slot.isdigit():
            slots[int(slot[:4])] = mac_address(attribute(adapter, "MACAddress") or "")
    return tuple(mac for _, mac in sorted(slots.items(), key=lambda each: each[0]))[:_MOST_ADAPTERS]


def mac_address(text: str) -> str | None:
    """Return a MAC address with colons, or None if the text is not one: ``080027AABB01``, ``08-00-27-aa-bb-01``."""
    digits = re.sub(r"[:.-]", "", text.strip())
    if not _MAC.fullmatch(digits):
        return None
    return text.strip() if text.count(":") == 5 else ":".join(re.findall("..", digits.lower()))


def _child(element: etree._Element, name: str) -> etree._Element | None:
    return next((each for each in element if _is(each, name)), None)


def _is(element: etree._Element, name: str) -> bool:
    return isinstance(element.tag, str) and local(element) == name
