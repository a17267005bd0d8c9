# SPDX-License-Identifier: GPL-2.0-or-later
"""What the user is told of how Windows starts."""

from __future__ import annotations

from collections.abc import Sequence

from v2v_convert_guestfs.session import Session
from v2v_convert_guestfs.windows.boot.bcd import Entry
from v2v_convert_guestfs.windows.boot.bcd_entries import Found, leads_nowhere, remedy
from v2v_convert_guestfs.windows.boot.boot_ini import BootMenu
from v2v_convert_guestfs.windows.boot.esp import Fallback
from v2v_convert_guestfs.windows.boot.layout import Disk, Partition
from v2v_convert_guestfs.windows.boot.places import find
from v2v_convert_guestfs.windows.boot.store import BcdEdit, State
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import Firmware, visible


def warn_of_configuration(
    guest: WindowsGuest,
    found: Found | None,
    edits: Sequence[BcdEdit],
    starts: Sequence[Partition],
    disks: Sequence[Disk],
    windows: Partition | None,
) -> None:
    """Warn of a boot configuration that is missing or damaged, or does not lead to Windows."""
    session = guest.session
    warn, help_ = session.report.warning, remedy(session.firmware)
    if found is None:
        kind = "EFI system partition" if session.firmware is Firmware.UEFI else "active partition"
        devices = ", ".join(each.device for each in starts)
        where = f"on {devices}" if devices else f"of the guest: its disks have no {kind}"
        warn(f"there is no boot configuration (BCD) of Windows {where}. Windows does not start; {help_}")
        return
    if found.store.state is State.DAMAGED:
        warn(f"the boot configuration of Windows, {found.shown}, is damaged: {found.store.why}. {_sentence(help_)}")
        return
    if found.store.state is State.UNREADABLE:
        warn(f"the boot configuration of Windows, {found.shown}, is not examined: {found.store.why}")
        return
    if found.store.state is State.DIRTY:
        warn(
            f"the boot configuration of Windows, {found.shown}, has edits that are only in its log: it is left as it "
            "is. Start Windows once at the source and shut it down"
        )
    entry = found.entry
    repaired = entry is not None and leads_nowhere(disks, entry) and any(edit.data is not None for edit in edits)
    if repaired and windows is not None:
        warn(
            f"in the boot configuration of Windows, {found.shown}, {found.wrong}. It is changed to {windows.device}, "
            "which has this Windows"
        )
    elif found.wrong:
        warn(f"in the boot configuration of Windows, {found.shown}, {found.wrong}. {_sentence(help_)}")
    if entry is not None:
        _warn_of_entry(session, found, entry, disks, windows)


def warn_of_fallbacks(session: Session, fallbacks: Sequence[Fallback], starts: Sequence[Partition]) -> None:
    """Warn of a guest with UEFI that does not start Windows by its fallback loader."""
    if session.firmware is not Firmware.UEFI:
        return
    for fallback in fallbacks:
        if fallback.foreign:
            session.report.warning(
                f"the fallback loader of the guest, {fallback.device}:/EFI/BOOT/{fallback.name}, is that of another "
                "system, and stays: the guest starts with its boot menu. To start Windows without it, choose Windows "
                "Boot Manager in the setup of the firmware"
            )
    if starts and not fallbacks:
        session.report.warning(
            f"bootmgfw.efi of Windows is not on {', '.join(each.device for each in starts)}: the firmware finds no "
            f"Windows to start; {remedy(session.firmware)}"
        )


def warn_of_menu(session: Session, menu: BootMenu) -> None:
    """Warn of a boot menu of Windows XP that does not lead to Windows."""
    if menu.wrong:
        session.report.warning(f"Windows may not start: {menu.wrong}; {menu.hint}")


def _warn_of_entry(
    session: Session, found: Found, entry: Entry, disks: Sequence[Disk], windows: Partition | None
) -> None:
    """Warn of settings of the default entry."""
    warn = session.report.warning
    place = entry.os_device.place if entry.os_device is not None else None
    named = find(disks, place) if place is not None else None
    if entry.of_xp:
        warn(f"the default entry of {found.shown} starts an older Windows (ntldr), not the one that is converted")
    elif named is not None and windows is not None and named != windows:
        warn(
            f"the default entry of {found.shown} ({visible(entry.description)}) starts the Windows on {named.device}, "
            f"not the one on {windows.device} that is converted: choose it in the boot menu, or use bcdedit /default"
        )
    if found.store.configuration is not None and found.store.configuration.once:
        warn(
            f"{found.shown} has a bootsequence: at its first start, the guest starts that entry in place of the default"
        )
    if entry.safe_mode:
        warn(
            "Windows is set to start in safe mode, without most drivers: run bcdedit /deletevalue safeboot in the guest"
        )
    if entry.debug:
        warn("kernel debugging is on in the guest's boot configuration: switch it off with bcdedit /debug off")
    if entry.hypervisor:
        session.report.info(
            "Hyper-V starts before the guest's Windows (hypervisorlaunchtype): on KVM it does so only with nested "
            "virtualization"
        )
    if session.request.guest.secure_boot and (entry.test_signing or entry.no_integrity_checks):
        what = "testsigning" if entry.test_signing else "nointegritychecks"
        warn(
            f"the guest's boot configuration has {what} on, which secure boot does not allow: drivers without a "
            "signature of Microsoft do not load. Give the guest no secure boot, or install signed drivers"
        )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
