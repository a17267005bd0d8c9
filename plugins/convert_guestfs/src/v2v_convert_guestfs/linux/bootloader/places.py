# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the boot loader configuration that is in effect. Guests have leftovers of other loaders and other firmware."""

from __future__ import annotations

from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.firmware import installed_grub
from v2v_convert_guestfs.linux.bootloader.fallback import ESPS, esp_directories, listed, vendor_order
from v2v_convert_guestfs.linux.editors import grub_cfg, grub_legacy
from v2v_convert_guestfs.session import Session
from v2v_core.api import Firmware

_GRUB2 = ("/boot/grub/grub.cfg", "/boot/grub2/grub.cfg")
#: Red Hat's GRUB legacy reads the first, and has the second as a link to it. Other distributions use the second.
_LEGACY = ("/boot/grub/grub.conf", "/boot/grub/menu.lst")
#: Bytes. With thirty kernels, a grub.cfg has about 200 KB.
_LIMIT = 4 * 1024 * 1024
#: More vendor directories than any EFI system partition has.
_VENDORS = 50
#: The longest chain of files that only load another configuration.
_STUBS = 4


def find_grub2(session: Session, files: GuestFiles) -> str | None:
    """Return the path of the GRUB 2 configuration that is in effect, or None.

    With UEFI, this is the one that a file on the EFI system partition loads; with a BIOS, it is in /boot. A
    configuration with a menu is preferred.
    """
    disk = sorted(_GRUB2, key=lambda path: not _has_modules(session, path))
    esp = _on_esp(session, files, "grub.cfg")
    without_menu = []
    for path in (*esp, *disk) if session.firmware is Firmware.UEFI else (*disk, *esp):
        real = _followed(files, path)
        if real is not None:
            without_menu.append(real)
            content = files.read(real, limit=_LIMIT) or b""
            if grub_cfg.uses_bls(content) or grub_cfg.menu(content):
                return real
    return without_menu[0] if without_menu else None


def find_grub_legacy(session: Session, files: GuestFiles) -> str | None:
    """Return the path of a GRUB legacy configuration with a kernel in its menu, or None."""
    esp = _on_esp(session, files, "grub.conf")
    for path in (*esp, *_LEGACY) if session.firmware is Firmware.UEFI else (*_LEGACY, *esp):
        real = files.resolve(path)
        if real is not None and any(entry.kernel for entry in grub_legacy.entries(files.read(real) or b"")):
            return real
    return None


def legacy_is_installed(session: Session, legacy: str, grub2: str) -> bool:
    """Return whether GRUB legacy is the one that starts, in a guest with configurations of both versions of GRUB.

    An upgrade of the distribution leaves files of the old version that are no longer used. A BIOS starts the one in a
    boot sector, UEFI the one on the EFI system partition.
    """
    if session.firmware is Firmware.UEFI:
        return _is_on_esp(legacy) and not _is_on_esp(grub2)
    return installed_grub(session) == 1


def systemd_boot_starts(session: Session) -> bool:
    """Return whether systemd-boot is the only loader that UEFI can start.

    Without a loader on the EFI system partition, the other files of GRUB are leftovers.
    """
    if session.firmware is not Firmware.UEFI:
        return False
    loaders = {
        (vendor.lower(), loader.lower())
        for root in esp_directories(session)
        for vendor in listed(session, root)[:_VENDORS]
        for loader in listed(session, f"{root}/{vendor}")
    }
    return any(vendor == "systemd" for vendor, _ in loaders) and not any(
        loader.startswith(("grub", "shim")) for vendor, loader in loaders if vendor != "boot"
    )


def _on_esp(session: Session, files: GuestFiles, name: str) -> list[str]:
    paths = [path for esp in ESPS for path in files.glob(f"{esp}/EFI/*/{name}")[:_VENDORS]]
    return sorted(paths, key=lambda path: vendor_order(path.rpartition("/")[0], session.inspection.distro))


def _is_on_esp(path: str) -> bool:
    return any(path.lower().startswith(f"{esp}/efi/") for esp in ESPS)


def _followed(files: GuestFiles, path: str) -> str | None:
    """Follow files that only load another one, and return the path of the last, or None if that does not exist."""
    for _ in range(_STUBS):
        real = files.resolve(path)
        if real is None:
            return None
        target = grub_cfg.leads_to(files.read(real, limit=_LIMIT) or b"")
        if target is None:
            return real
        directory, _, name = target.rpartition("/")
        # The path is relative to the root of some file system or subvolume. Its last two components are certain.
        last = directory.rpartition("/")[2]
        places = [f"/boot/{last}/{name}", f"/boot{target}", target, *(f"{esp}{target}" for esp in ESPS)]
        following = next((place for place in places if place != path and files.resolve(place) is not None), None)
        if following is None:
            return None
        path = following
    return None


def _has_modules(session: Session, path: str) -> bool:
    directory = path.rpartition("/")[0]
    return any(session.handle.is_dir(f"{directory}/{kind}") for kind in ("i386-pc", "x86_64-efi", "arm64-efi"))
