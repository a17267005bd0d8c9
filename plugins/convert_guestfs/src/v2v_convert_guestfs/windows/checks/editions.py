# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows that cannot be converted at all: too old, of another processor, or no installed Windows."""

from __future__ import annotations

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.checks.reading import WINDOWS_NT, controls, software, text
from v2v_convert_guestfs.windows.guest import WindowsGuest

#: Windows XP: the oldest for which there have been virtio drivers.
_OLDEST = (5, 1)
_ARCHITECTURES = ("i386", "x86_64")


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect the reasons why this Windows cannot be converted."""
    system = guest.system
    if _is_pe(guest):
        blockers.add(
            f"{guest.session.inspection.root} has Windows PE, which runs from an installation or rescue medium, and no "
            "installed Windows",
            "give the disk on which Windows is installed; if there are several systems, choose it with --root",
        )
        return
    version = ".".join(map(str, system.version))
    if system.version < _OLDEST:
        blockers.add(
            f"{system.product_name or 'this Windows'} (version {version}) is too old: there are no virtio drivers for "
            "it, and none of the disk controllers that it knows is in KVM's machines of today",
            "upgrade it at the source, or run it as it is on a machine with IDE disks (pc-i440fx)",
        )
    if system.arch not in _ARCHITECTURES:
        blockers.add(
            f"this Windows is for the processor {system.arch}: only Windows for {' and '.join(_ARCHITECTURES)} can be "
            "converted",
            "install it anew on KVM and move its data",
        )


def _is_pe(guest: WindowsGuest) -> bool:
    """Return whether this is Windows PE. Some set its MiniNT key in an installed Windows to turn off the event log."""
    version = software(guest, WINDOWS_NT)
    if text(version, "EditionID") == "WindowsPE" or software(guest, rf"{WINDOWS_NT}\WinPE") is not None:
        return True
    on_ram_disk = text(version, "SystemRoot")[:2].upper() == "X:"
    return on_ram_disk and bool(controls(guest, r"Control\MiniNT"))
