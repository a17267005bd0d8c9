# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that only Linux guests need: hibernation to swap, and what fstab mounts."""

from __future__ import annotations

from collections.abc import Callable

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.files import GuestFiles
from v2v_convert_guestfs.session import Blockers, Session
from v2v_core.api import visible

#: Where Linux writes "S1SUSPEND" in a swap area that holds a hibernated system: the end of its first page.
_SWAP_SIGNATURE_OFFSETS = (4086, 65526)
_HIBERNATED = (b"S1SUSPEND\0", b"S2SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001")


def find_hibernated(session: Session) -> list[str]:
    """List the swap areas that hold a hibernated system."""
    hibernated = []
    for device, kind in sorted(session.filesystems.items()):
        if kind in {"swsuspend", "linux_raid_member", "unknown"}:
            if kind == "swsuspend":
                hibernated.append(device)
            continue
        if kind != "swap":
            continue
        try:
            if any(
                bytes(session.handle.pread_device(device, 10, offset)) in _HIBERNATED
                for offset in _SWAP_SIGNATURE_OFFSETS
            ):
                hibernated.append(device)
        except RuntimeError as err:
            session.report.debug(f"{device}: {brief(err)}")
    return hibernated


def check_hibernation(session: Session, blockers: Blockers) -> bool:
    """Return whether the guest is hibernated. That is a blocker, and its file systems must not even be mounted."""
    hibernated = find_hibernated(session)
    for device in hibernated:
        blockers.add(
            f"the guest is hibernated: {device} holds the memory of a running system",
            "resume the guest at its hypervisor and shut it down",
        )
    return bool(hibernated)


def warn_of_overlays(session: Session, is_needed: Callable[[str], bool]) -> None:
    """Warn of overlays in fstab on parts of the system: files in their upper layer hide those that are changed."""
    lines = (GuestFiles(session).read("/etc/fstab") or b"").decode("latin-1").split("\n")
    fields = [line.split() for line in lines if not line.lstrip().startswith("#")]
    for place in sorted({found[1] for found in fields if len(found) > 2 and found[2] == "overlay"}):
        if is_needed(place):
            session.report.warning(
                f"the guest mounts an overlay on {visible(place)} (/etc/fstab): a file in its upper layer hides what "
                "the conversion writes below. The report lists the changed files: look for them in the upper layer"
            )


def fstab_places(data: bytes) -> set[str]:
    """Return the mount points of local devices in fstab(5)."""
    fields = [line.split() for line in data.decode("latin-1").split("\n") if not line.lstrip().startswith("#")]
    return {
        found[1].rstrip("/") or "/"
        for found in fields
        if len(found) >= 3 and found[1].startswith("/") and found[0].startswith(("/dev/", "UUID=", "LABEL=", "PART"))
    }
