# SPDX-License-Identifier: GPL-2.0-or-later
"""How Windows starts on the new machine, and that it finds its disks: boot configuration, loaders, drive letters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.boot import (
    bcd_entries,
    boot_ini,
    clock,
    esp,
    layout,
    letters,
    messages,
    ntfs_heads,
    san_policy,
    store,
)
from v2v_convert_guestfs.windows.boot.disks import start_partitions, warn_of_contradictions, windows_partition
from v2v_convert_guestfs.windows.boot.facts import facts
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.plan import BootPlan
from v2v_convert_guestfs.windows.boot.volumes import opened
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Firmware

__all__ = ["BootPlan", "change", "examine", "facts"]


def examine(guest: WindowsGuest, blockers: Blockers) -> BootPlan:
    """Examine how Windows starts, without changing anything. What is wrong is a warning with what helps."""
    session = guest.session
    disks = layout.read_disks(session)
    windows = windows_partition(session, disks)
    warn_of_contradictions(session, disks, windows)
    starts = start_partitions(session, disks)
    with opened(guest, starts[0].device) if starts else nullcontext():
        return _examine(guest, disks, windows, starts)


def _examine(
    guest: WindowsGuest, disks: Sequence[Disk], windows: Partition | None, starts: Sequence[Partition]
) -> BootPlan:
    """Examine how Windows starts, with the first partition to start from mounted."""
    session = guest.session
    found_letters = letters.look(guest, disks, windows)
    letters.warn(guest, found_letters, windows)
    utc = clock.is_utc(guest)
    if not guest.system.at_least(6):
        session.findings.boot_loader = "NTLDR"
        menu = boot_ini.look(guest, disks, starts, windows)
        messages.warn_of_menu(session, menu)
        own = [each for each in starts if each.device == menu.device] + ([windows] if windows is not None else [])
        return BootPlan(
            rtc_utc=utc,
            letters=found_letters,
            ntfs_heads=ntfs_heads.look(session, disks, own),
        )
    session.findings.boot_loader = "Windows Boot Manager"
    found = bcd_entries.look(guest, disks, starts)
    edits = bcd_entries.edits(guest, disks, windows, found) if found is not None else ()
    fallbacks = esp.look(guest, starts) if session.firmware is Firmware.UEFI else ()
    messages.warn_of_configuration(guest, found, edits, starts, disks, windows)
    messages.warn_of_fallbacks(session, fallbacks, starts)
    entry = found.entry if found is not None else None
    return BootPlan(
        rtc_utc=utc,
        letters=found_letters,
        found=found,
        bcd_edits=edits,
        fallbacks=fallbacks,
        test_signing=entry is not None and entry.test_signing,
        no_integrity_checks=entry is not None and entry.no_integrity_checks,
    )


def change(guest: WindowsGuest, plan: BootPlan) -> None:
    """Stage the edits of the registry, and change the boot files.

    :raises ConversionError: a boot file cannot be written.
    """
    letters.change(guest, plan.letters)
    san_policy.change(guest)
    if plan.found is not None and plan.bcd_edits:
        with opened(guest, plan.found.partition.device, writable=True):
            store.edit(guest, plan.found.store.path, plan.bcd_edits, shown=plan.found.shown)
    for fallback in plan.fallbacks:
        esp.change(guest, fallback)
    ntfs_heads.change(guest.session, plan.ntfs_heads)
