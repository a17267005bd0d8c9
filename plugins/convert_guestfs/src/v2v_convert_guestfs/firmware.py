# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the guest's firmware, its boot loader in the BIOS's eyes, and the disk that it boots from."""

from __future__ import annotations

import uuid

from v2v_convert_guestfs.disks import gpt_types
from v2v_convert_guestfs.operating_system import operating_system_of
from v2v_convert_guestfs.session import Session
from v2v_core.api import Firmware

#: The type of an EFI system partition.
ESP = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
_BIOS_BOOT = uuid.UUID("21686148-6449-6E6F-744E-656564454649")


def find_firmware(session: Session) -> Firmware:
    """Return the firmware that the source states, or else the one that the disks suggest."""
    stated, detected = session.request.guest.firmware, detect_firmware(session)
    if stated is Firmware.UNKNOWN:
        return detected
    if stated is not detected:
        session.report.warning(
            f"the source says that the guest boots with {stated}, its partition tables look like {detected}"
        )
    return stated


def detect_firmware(session: Session) -> Firmware:
    """Return UEFI if the partition tables have an EFI system partition and no BIOS boot partition, or else BIOS."""
    handle = session.handle
    types: set[uuid.UUID] = set()
    for disk in handle.list_devices():
        try:
            types |= gpt_types(handle, disk)
        except RuntimeError as err:
            session.report.debug(f"{disk}: {err}")
    return Firmware.UEFI if ESP in types and _BIOS_BOOT not in types else Firmware.BIOS


def installed_grub(session: Session) -> int | None:
    """Return the version of GRUB that a BIOS starts, 1 (legacy) or 2; None if there is none.

    The first boot sector that is GRUB's decides; those of disks come before those of partitions.
    """
    handle = session.handle
    for device in (*handle.list_devices(), *handle.list_partitions()):
        try:
            version = grub_version(bytes(handle.pread_device(device, 512, 0)))
        except RuntimeError as err:
            session.report.debug(f"{device}: {err}")
            continue
        if version is not None:
            return version
    return None


def grub_version(sector: bytes) -> int | None:
    """Return the version of GRUB in a boot sector, or None. The jump at its beginning is shorter in GRUB legacy."""
    if b"GRUB" not in sector[:512] or sector[:1] != b"\xeb":
        return None
    return 1 if sector[1] == 0x48 else 2


def find_boot_disk(session: Session) -> int | None:
    """Return the number, from 1, of the disk that a BIOS would boot GRUB from; else of the disk with /boot; else None.

    A BIOS tries the disks in the boot order of the source.
    """
    peculiar = operating_system_of(session).find_boot_disk()
    if peculiar is not None:
        return peculiar
    handle = session.handle
    disks = list(handle.list_devices())
    places = {number: place for place, number in enumerate(session.request.guest.boot_sequence)}
    for number, disk in sorted(enumerate(disks, 1), key=lambda each: places.get(each[0], len(disks))):
        try:
            if b"GRUB" in bytes(handle.pread_device(disk, 512, 0)):
                return number
        except RuntimeError as err:
            session.report.debug(f"{disk}: {err}")
    mountpoints = dict(session.inspection.mountpoints)
    for place in ("/boot/efi", "/efi", "/boot", "/"):
        try:
            disk = handle.part_to_dev(mountpoints[place])
        except (KeyError, RuntimeError):
            # Not a mount point of its own, or not on a plain partition.
            continue
        if disk in disks:
            return disks.index(disk) + 1
    return None
