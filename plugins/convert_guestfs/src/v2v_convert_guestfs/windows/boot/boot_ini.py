# SPDX-License-Identifier: GPL-2.0-or-later
"""The boot menu of Windows XP and 2003 (boot.ini): which disk and partition its default entry names.

``multi(0)disk(0)rdisk(0)partition(1)\\WINDOWS`` is the first partition of the first disk in the order of the BIOS.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.volumes import opened
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import visible

_ARC = re.compile(
    r"(?P<kind>multi|scsi|signature)\((?P<adapter>[0-9a-f]{1,8})\)disk\(\d{1,3}\)rdisk\((?P<disk>\d{1,3})\)"
    r"partition\((?P<partition>\d{1,3})\)(?P<directory>\\[^=\"]{0,200})",
    re.IGNORECASE | re.ASCII,
)
_DEFAULT = re.compile(r"default\s*=\s*(.*)", re.IGNORECASE)
_SECTION = re.compile(r"\[\s*(.*?)\s*\]")
_NEEDED = ("ntldr", "NTDETECT.COM")


@dataclass(frozen=True, kw_only=True)
class BootMenu:
    """What was found of the boot menu. :param wrong: why Windows does not start by it; "" if it does."""

    device: str
    wrong: str = ""
    hint: str = ""


def look(
    guest: WindowsGuest, disks: Sequence[Disk], starts: Sequence[Partition], windows: Partition | None
) -> BootMenu:
    """Examine the boot menu on the first partition that a BIOS starts from and that has one."""
    for partition in starts:
        with opened(guest, partition.device) as place:
            if place is None:
                continue
            content = guest.files.read(f"{place}/boot.ini", limit=64 * 1024)
            missing = [name for name in _NEEDED if not guest.files.is_file(f"{place}/{name}")]
        if content is not None:
            if missing:
                wrong = f"{' and '.join(missing)} of Windows's loader are not on {partition.device}"
                return BootMenu(device=partition.device, wrong=wrong, hint=_copy_hint())
            wrong, hint = _judge(guest, disks, content.decode("latin-1"), windows)
            return BootMenu(device=partition.device, wrong=wrong, hint=hint)
    where = ", ".join(each.device for each in starts) or "no partition is active"
    return BootMenu(
        device="", wrong=f"there is no boot.ini on the partition that a BIOS starts from ({where})", hint=_copy_hint()
    )


def default_of(text: str) -> str | None:
    """Return the default entry of a boot menu; without one it is the first in its list of systems. None if empty."""
    section, first = "", None
    for line in map(str.strip, text.replace("\r", "\n").split("\n")):
        if match := _SECTION.fullmatch(line):
            section = match[1].lower()
        elif section == "boot loader" and (match := _DEFAULT.fullmatch(line)):
            return match[1].strip().strip('"')
        elif section == "operating systems" and first is None and "=" in line:
            first = line.partition("=")[0].strip().strip('"')
    return first


def _judge(guest: WindowsGuest, disks: Sequence[Disk], text: str, windows: Partition | None) -> tuple[str, str]:
    """Return what is wrong with a boot menu and what helps; "" for nothing."""
    default = default_of(text)
    match = _ARC.fullmatch(default or "")
    wanted = _arc_of(guest.session, disks, windows) if windows is not None else None
    hint = (
        f"set the default of boot.ini to {wanted}{_directory(guest)}" if wanted else "correct the default of boot.ini"
    )
    if match is None:
        return f"the default of boot.ini is {visible(default or '')[:200] or 'missing'}, which names no partition", hint
    if match["kind"].lower() != "multi":
        return (
            f"the default of boot.ini ({visible(match[0])}) lets Windows's loader use a driver for the old SCSI "
            "controller (ntbootdd.sys)",
            hint,
        )
    if windows is None:
        return "", ""
    ordered = _in_bios_order(guest.session, disks)
    number = int(match["disk"])
    named = _partition(ordered[number], int(match["partition"])) if number < len(ordered) else None
    if named != windows:
        shown = named.device if named is not None else "no partition of the guest"
        return f"the default of boot.ini ({visible(match[0])}) is {shown}, Windows is on {windows.device}", hint
    if match["directory"].rstrip("\\").lower() != _directory(guest).lower():
        return f"the default of boot.ini starts {visible(match['directory'])}, Windows is in {_directory(guest)}", hint
    return "", ""


def _in_bios_order(session: Session, disks: Sequence[Disk]) -> list[Disk]:
    places = {number: place for place, number in enumerate(session.request.guest.boot_sequence)}
    return sorted(disks, key=lambda disk: (places.get(disk.index, len(disks)), disk.index))


def _numbered(disk: Disk) -> list[Partition]:
    """Return the partitions in the order in which ARC paths count them: primary ones first."""
    return sorted(disk.partitions, key=lambda each: each.logical)


def _partition(disk: Disk, number: int) -> Partition | None:
    numbered = _numbered(disk)
    return numbered[number - 1] if 1 <= number <= len(numbered) else None


def _arc_of(session: Session, disks: Sequence[Disk], windows: Partition) -> str | None:
    for number, disk in enumerate(_in_bios_order(session, disks)):
        if windows in disk.partitions:
            return f"multi(0)disk(0)rdisk({number})partition({_numbered(disk).index(windows) + 1})"
    return None


def _directory(guest: WindowsGuest) -> str:
    return guest.system.systemroot.rstrip("/").replace("/", "\\")


def _copy_hint() -> str:
    return "start the recovery console from a Windows installation medium, and run fixboot and bootcfg /rebuild"
