# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the disk that a Windows guest boots from. Windows itself may be on another one."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.disks import gpt_types
from v2v_convert_guestfs.firmware import ESP
from v2v_convert_guestfs.session import Session
from v2v_core.api import Firmware

#: What the boot sector of an active partition names: the boot manager of Windows Vista and later, or the older one.
_BOOT_MANAGERS = tuple(name.encode(coding) for name in ("BOOTMGR", "NTLDR") for coding in ("ascii", "utf-16-le"))
#: Bytes of the boot code of NTFS.
_BOOT_CODE = 8192


def find_boot_disk(session: Session) -> int | None:
    """Return the number of the disk, from 1, or None if no disk looks like it.

    On UEFI that is a disk with an EFI system partition. On BIOS it is one with an active partition, at best one whose
    boot sector starts Windows. Of several, the first in the boot order of the source counts.
    """
    disks = {number: str(disk) for number, disk in enumerate(session.handle.list_devices(), 1)}
    order = [number for number in session.request.guest.boot_sequence if number in disks]
    order += [number for number in disks if number not in order]
    if session.firmware is Firmware.UEFI:
        return next((number for number in order if _has_esp(session, disks[number])), None)
    active = {number: list(_active_partitions(session, disks[number])) for number in order}
    starting = (number for number in order if any(_starts_windows(session, device) for device in active[number]))
    return next(starting, next((number for number in order if active[number]), None))


def _has_esp(session: Session, disk: str) -> bool:
    try:
        return ESP in gpt_types(session.handle, disk)
    except RuntimeError as err:
        session.report.debug(f"{disk}: {brief(err)}")
        return False


def _active_partitions(session: Session, disk: str) -> Iterator[str]:
    handle = session.handle
    for partition in (str(partition) for partition in handle.list_partitions()):
        try:
            number = handle.part_to_partnum(partition)
            if handle.part_to_dev(partition) == disk and handle.part_get_bootable(disk, number):
                yield partition
        except RuntimeError as err:
            session.report.debug(f"{partition}: {brief(err)}")


def _starts_windows(session: Session, partition: str) -> bool:
    try:
        code = bytes(session.handle.pread_device(partition, _BOOT_CODE, 0))
    except RuntimeError as err:
        session.report.debug(f"{partition}: {brief(err)}")
        return False
    return any(name in code for name in _BOOT_MANAGERS)
