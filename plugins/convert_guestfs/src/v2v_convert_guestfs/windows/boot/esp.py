# SPDX-License-Identifier: GPL-2.0-or-later
r"""The fallback loader of a Windows guest with UEFI: the NVRAM of the new machine is empty, so it starts this file.

It has to be Windows's boot manager. Windows keeps one there, which may be older than the one in its own directory. If
it is that of another system that is on the guest's disks as well (GRUB, shim), it stays: it has the menu that the guest
had, and the user is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.windows.boot.layout import Partition
from v2v_convert_guestfs.windows.boot.volumes import opened
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_core.api import ConversionError

_WHY = "the new machine's NVRAM is empty, so it starts this file"
_MANAGER = "/EFI/Microsoft/Boot/bootmgfw.efi"
_NAMES = {"i386": "BOOTIA32.EFI", "x86_64": "BOOTX64.EFI", "aarch64": "BOOTAA64.EFI", "arm": "BOOTARM.EFI"}
#: In the version resource of Windows's boot manager.
_MARKS = tuple(text.encode("utf-16-le") for text in ("bootmgr.exe", "bootmgfw.efi", "Boot Manager"))
_LARGEST = 16 * 1024 * 1024
#: Directories of the EFI directory that are no other system's.
_OURS = frozenset({"microsoft", "boot", "tools", "system volume information"})
_KEPT = ".before-v2v"


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What is to be done for the fallback loader on an EFI system partition.

    :param copy: the boot manager has to be copied. :param keep: what is there gets another name first.
    :param foreign: the loader of another system is there, and stays. :param right: it is Windows's.
    """

    device: str
    name: str
    copy: bool = False
    keep: bool = False
    foreign: bool = False
    right: bool = False


def look(guest: WindowsGuest, esps: Sequence[Partition]) -> tuple[Fallback, ...]:
    """Return what the fallback loaders are, on each partition that has Windows's boot manager."""
    return tuple(found for esp in esps if (found := _look(guest, esp.device)) is not None)


def _look(guest: WindowsGuest, device: str) -> Fallback | None:
    name, files = _NAMES.get(guest.system.arch, _NAMES["x86_64"]), guest.files
    with opened(guest, device) as place:
        manager = files.find(f"{place}{_MANAGER}") if place is not None else None
        if manager is None or not files.is_file(manager):
            return None
        own = files.find(f"{place}/EFI/BOOT/{name}")
        if own is None:
            return Fallback(device=device, name=name, copy=True)
        if guest.session.handle.equal(own, manager):
            return Fallback(device=device, name=name, right=True)
        content = files.read(own, limit=_LARGEST) or b""
        if any(mark in content for mark in _MARKS):
            return Fallback(device=device, name=name, copy=True)
        others = [each for each in files.names(f"{place}/EFI") if each.lower() not in _OURS]
        if others:
            return Fallback(device=device, name=name, foreign=True)
        return Fallback(device=device, name=name, copy=True, keep=True)


def change(guest: WindowsGuest, fallback: Fallback) -> None:
    """Copy Windows's boot manager to the fallback loader; no other file of the directory is touched.

    :raises ConversionError: it cannot be copied.
    """
    if not fallback.copy:
        return
    handle, files = guest.session.handle, guest.files
    shown = f"{fallback.device}:/EFI/BOOT/{fallback.name}"
    try:
        with opened(guest, fallback.device, writable=True) as place:
            manager = files.find(f"{place}{_MANAGER}") if place is not None else None
            if manager is None:
                raise ConversionError(f"{shown} cannot be written: the partition cannot be mounted")
            directory = files.find(f"{place}/EFI/BOOT")
            if directory is None:
                directory = f"{files.find(f'{place}/EFI')}/BOOT"
                handle.mkdir_p(directory)
            own = files.find(f"{directory}/{fallback.name}") or f"{directory}/{fallback.name}"
            handle.cp(manager, f"{own}.v2v")
            if fallback.keep:
                handle.mv(own, f"{own}{_KEPT}")
                guest.session.changed(f"{shown}{_KEPT}", "the fallback loader that was there", _WHY)
            handle.mv(f"{own}.v2v", own)
    except RuntimeError as err:
        raise ConversionError(
            f"{shown} cannot be written: {brief(err)}", hint="look for a full EFI system partition in the guest"
        ) from err
    guest.session.changed(shown, f"copied from {_MANAGER}", _WHY)
