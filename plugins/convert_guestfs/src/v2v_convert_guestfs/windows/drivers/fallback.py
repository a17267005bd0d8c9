# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware for a guest without virtio drivers: disks and a network card that Windows has drivers for."""

from __future__ import annotations

from dataclasses import dataclass

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.drivers import critical_devices
from v2v_convert_guestfs.windows.drivers.plan import BootDriver, Edits
from v2v_convert_guestfs.windows.drivers.services import enable, enable_own, own_driver
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Bus

_HDC_CLASS = "{4D36E96A-E325-11CE-BFC1-08002BE10318}"
_WHY = "the guest boots from a {} disk"
#: The drivers of SATA controllers (AHCI), the one of newer Windows first.
_SATA = ("storahci", "msahci")
#: Windows may take Intel's driver for the controller of q35 machines, which is Intel's.
_INTEL_SATA = "iaStorV"
#: The chips of IDE controllers: that of i440fx machines (PIIX3) has a driver of its own, or the general one.
_IDE_CHIPS = (("intelide", r"PCI\VEN_8086&DEV_7010"), ("pciide", r"PCI\CC_0101"))
_IDE_CHANNELS = ("Primary_IDE_Channel", "Secondary_IDE_Channel", r"*PNP0600")
#: Network cards in the order in which they are wanted: model and id.
_CARDS = (
    ("e1000e", "VEN_8086&DEV_10D3"),
    ("e1000", "VEN_8086&DEV_100E"),
    ("rtl8139", "VEN_10EC&DEV_8139"),
)
_MOST_INFS = 400
_LONGEST_INF = 1024 * 1024


@dataclass(frozen=True)
class Storage:
    """The bus of the disks, and the driver of its controller."""

    bus: Bus
    machine: str
    driver: BootDriver | None


def storage(guest: WindowsGuest, blockers: Blockers, edits: Edits) -> Storage:
    """Choose SATA or IDE disks by the drivers of Windows, and let those start at boot.

    XP and Server 2003 have no driver for SATA, and get a machine with IDE.
    """
    if guest.system.arch == "aarch64":
        blockers.add(
            "virtio-win has no driver of virtio disks for this Windows, and there are no other disks for ARM machines",
            "give a virtio-win with drivers for ARM64 (VIRTIO_WIN)",
        )
        return Storage(Bus.VIRTIO_BLK, "virt", None)
    if guest.system.at_least(6):
        for name in _SATA:
            if (driver := own_driver(guest, name)) is not None:
                why = _WHY.format("SATA")
                enable_own(edits, guest, driver, why)
                if own_driver(guest, _INTEL_SATA) is not None:
                    enable(edits, guest, _INTEL_SATA, why)
                # The disk's driver is found by the class of its controller.
                if not guest.system.driver_database:
                    critical_devices.add(guest, name, [r"PCI\CC_010601"], edits, guid=_HDC_CLASS)
                return Storage(Bus.SATA, "q35", driver)
    return Storage(Bus.IDE, "i440fx", _ide(guest, blockers, edits))


def _ide(guest: WindowsGuest, blockers: Blockers, edits: Edits) -> BootDriver | None:
    why = _WHY.format("IDE")
    channel = own_driver(guest, "atapi")
    chips = [(name, device) for name, device in _IDE_CHIPS if own_driver(guest, name) is not None]
    if channel is None or not chips:
        lacking = "atapi.sys" if channel is None else "intelide.sys and pciide.sys"
        blockers.add(
            f"Windows in the guest can boot neither from virtio disks nor from SATA or IDE disks (it has no {lacking} "
            "with a service)",
            "give the guest an IDE disk at its hypervisor and start it once, so that Windows installs the driver, or "
            "give a virtio-win with drivers for this Windows (VIRTIO_WIN)",
        )
        return None
    enable_own(edits, guest, channel, why)
    for name, _ in chips:
        enable(edits, guest, name, why)
    if not guest.system.driver_database:
        chip, device = chips[0]
        critical_devices.add(guest, chip, [device], edits, guid=_HDC_CLASS)
        critical_devices.add(guest, "atapi", _IDE_CHANNELS, edits, guid=_HDC_CLASS)
    return channel


def card(guest: WindowsGuest) -> str:
    """Choose the model of the network cards: one for which the guest has an INF, else by the version of Windows."""
    known = _cards_in_infs(guest)
    for model, _ in _CARDS:
        if model in known:
            return model
    return _card_by_version(guest)


def _card_by_version(guest: WindowsGuest) -> str:
    system = guest.system
    if system.at_least(6, 1):
        return "e1000e"
    # 32-bit XP has a driver for none of Intel's cards.
    return "rtl8139" if system.version == (5, 1) else "e1000"


def _cards_in_infs(guest: WindowsGuest) -> set[str]:
    """Return the models for which the guest has an INF (``net….inf``, ``e1….inf``, ``oem….inf``)."""
    directory = guest.files.find(f"{guest.system.systemroot}/INF")
    if directory is None:
        return set()
    names = [
        name
        for name in guest.files.names(directory)
        if name.lower().endswith(".inf") and name.lower().startswith(("net", "e1", "oem"))
    ]
    found: set[str] = set()
    for name in names[:_MOST_INFS]:
        data = guest.files.read_start(f"{directory}/{name}", _LONGEST_INF) or b""
        # Both encodings of INFs hold the ids as ASCII, one of them with a NUL after each character.
        text = data.replace(b"\0", b"").upper()
        found.update(model for model, device in _CARDS if device.encode() in text)
        if _CARDS[0][0] in found:
            break
    return found
