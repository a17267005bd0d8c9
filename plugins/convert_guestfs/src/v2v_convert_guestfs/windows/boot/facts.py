# SPDX-License-Identifier: GPL-2.0-or-later
"""Examine, after the conversion, how Windows starts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from v2v_convert_guestfs.windows.boot import bcd_entries, boot_ini, esp, layout, letters, san_policy
from v2v_convert_guestfs.windows.boot.bcd_entries import Found
from v2v_convert_guestfs.windows.boot.disks import start_partitions, windows_partition
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.volumes import opened
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Fact, Firmware, Verdict

_ENTRY = "the default boot entry names a loader that exists"
_LOADER = r"the fallback loader in \EFI\BOOT is Windows's boot manager"
_MENU = "the default of boot.ini names Windows's partition"
_DISKS = "Windows brings the guest's other disks online"
_LETTER = "Windows's partition has the drive letter that Windows expects"


def facts(guest: WindowsGuest) -> tuple[Fact, ...]:
    """Return what can be seen of how Windows starts, once all changes are written."""
    session = guest.session
    disks = layout.read_disks(session)
    windows = windows_partition(session, disks)
    starts = start_partitions(session, disks)
    with opened(guest, starts[0].device) if starts else nullcontext():
        return _facts(guest, disks, windows, starts)


def _facts(
    guest: WindowsGuest, disks: Sequence[Disk], windows: Partition | None, starts: Sequence[Partition]
) -> tuple[Fact, ...]:
    found = []
    if not guest.system.at_least(6):
        menu = boot_ini.look(guest, disks, starts, windows)
        verdict = Verdict.UNKNOWN if not menu.device else Verdict.FAILED if menu.wrong else Verdict.PASSED
        found.append(Fact(name=_MENU, verdict=verdict, detail=menu.wrong))
    else:
        found.append(_entry_fact(bcd_entries.look(guest, disks, starts)))
        if guest.session.firmware is Firmware.UEFI:
            found += [_loader_fact(each) for each in esp.look(guest, starts)]
    have = letters.look(guest, disks, windows)
    if have.system is not None and windows is not None:
        found.append(_letter_fact(have, windows))
    if san_policy.is_needed(guest):
        online = san_policy.is_set(guest)
        detail = "" if online else "SanPolicy is not 1"
        found.append(Fact(name=_DISKS, verdict=Verdict.PASSED if online else Verdict.FAILED, detail=detail))
    return tuple(found)


def _entry_fact(found: Found | None) -> Fact:
    if found is None:
        return Fact(name=_ENTRY, verdict=Verdict.UNKNOWN, detail="there is no boot configuration (BCD)")
    if found.store.configuration is None:
        return Fact(name=_ENTRY, verdict=Verdict.UNKNOWN, detail=f"{found.shown} cannot be read: {found.store.why}")
    if found.wrong:
        return Fact(name=_ENTRY, verdict=Verdict.FAILED, detail=f"{found.shown}: {found.wrong}")
    if found.unknown or found.entry is None or found.loader is None:
        return Fact(name=_ENTRY, verdict=Verdict.UNKNOWN, detail=f"{found.shown}: it starts from an image or a search")
    return Fact(name=_ENTRY, verdict=Verdict.PASSED, detail=f"{found.loader.device}:{found.entry.path}")


def _loader_fact(fallback: esp.Fallback) -> Fact:
    shown = f"{fallback.device}:/EFI/BOOT/{fallback.name}"
    if fallback.foreign:
        return Fact(name=_LOADER, verdict=Verdict.UNKNOWN, detail=f"{shown} is that of another system")
    detail = shown if fallback.right else f"{shown} is missing or another program"
    return Fact(name=_LOADER, verdict=Verdict.PASSED if fallback.right else Verdict.FAILED, detail=detail)


def _letter_fact(have: letters.Letters, windows: Partition) -> Fact:
    named = dict(have.devices).get(have.system or "")
    if have.repaired is not None or have.system in dict(have.lost):
        detail = f"{have.system}: is a partition that no disk has"
        return Fact(name=_LETTER, verdict=Verdict.FAILED, detail=detail)
    if named is None:
        return Fact(name=_LETTER, verdict=Verdict.UNKNOWN, detail=f"{have.system}: is not remembered")
    verdict = Verdict.PASSED if named == windows.device else Verdict.FAILED
    return Fact(name=_LETTER, verdict=verdict, detail=f"{have.system}: is {named}, Windows is on {windows.device}")
