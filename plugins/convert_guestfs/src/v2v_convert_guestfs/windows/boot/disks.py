# SPDX-License-Identifier: GPL-2.0-or-later
"""Which partition has Windows, and which one the firmware starts from."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_core.api import Firmware

_HINT_SIGNATURE = (
    "give one of them another signature at the source (diskpart: uniqueid disk), or bring it online in the converted "
    "guest"
)


def windows_partition(session: Session, disks: Sequence[Disk]) -> Partition | None:
    """Return the partition with Windows, encrypted or not; None if it is none (a dynamic disk, for example)."""
    root = session.inspection.root
    device = next((outer for outer, inner in session.opened.items() if inner == root), root)
    return next((each for disk in disks for each in disk.partitions if each.device == device), None)


def start_partitions(session: Session, disks: Sequence[Disk]) -> tuple[Partition, ...]:
    """Return the partitions that the firmware can start from, the first one that it tries first.

    A BIOS starts from the active partition of a disk, UEFI from an EFI system partition.
    """
    sequence = {number: place for place, number in enumerate(session.request.guest.boot_sequence)}
    ordered = sorted(disks, key=lambda disk: (sequence.get(disk.index, len(disks)), disk.index))
    uefi = session.firmware is Firmware.UEFI
    return tuple(each for disk in ordered for each in disk.partitions if (each.esp if uefi else each.active))


def disk_of(disks: Sequence[Disk], partition: Partition) -> Disk:
    """Return the disk of a partition."""
    return next(disk for disk in disks if partition in disk.partitions)


def warn_of_contradictions(session: Session, disks: Sequence[Disk], windows: Partition | None) -> None:
    """Warn of what is on the disks and does not fit together: firmware and partition tables, equal signatures."""
    report = session.report
    home = disk_of(disks, windows) if windows is not None else None
    if home is not None and home.guid is not None and session.firmware is Firmware.BIOS:
        report.warning(
            f"the guest gets a BIOS, and its Windows is on disk {home.index}, which has a GPT: Windows starts from "
            "such a disk with UEFI only. Check the firmware that the source states"
        )
    if home is not None and home.guid is None and session.firmware is Firmware.UEFI:
        report.warning(
            f"the guest gets UEFI, and its Windows is on disk {home.index}, which has an MBR: Windows starts from "
            "such a disk with a BIOS only. Check the firmware that the source states"
        )
    signed: dict[uuid.UUID | int, list[int]] = {}
    for disk in disks:
        identity = disk.guid if disk.guid is not None else disk.signature
        if identity == 0 and disk.partitions:
            report.warning(
                f"disk {disk.index} has no signature in its MBR: Windows writes one, and its drive letters and boot "
                "entries that name the disk get lost. Start the guest once at the source with this disk"
            )
        elif identity:
            signed.setdefault(identity, []).append(disk.index)
    for shared, indexes in signed.items():
        if len(indexes) > 1:
            shown = f"signature 0x{shared:08x}" if isinstance(shared, int) else f"GUID {{{shared}}}"
            report.warning(
                f"disks {', '.join(map(str, indexes))} have the same {shown}: Windows takes all but one of them "
                f"offline; {_HINT_SIGNATURE}"
            )
