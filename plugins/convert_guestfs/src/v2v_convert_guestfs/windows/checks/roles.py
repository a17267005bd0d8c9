# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server is to others: a node of a failover cluster, a domain controller."""

from __future__ import annotations

import re
import struct
import uuid

from v2v_convert_guestfs.appliance import brief
from v2v_convert_guestfs.session import Blockers, Session
from v2v_convert_guestfs.windows.checks.reading import WINDOWS_NT, any_number, controls, software, text
from v2v_convert_guestfs.windows.guest import WindowsGuest
from v2v_convert_guestfs.windows.system import Product

_AUTOMATIC = 2
#: Where an MBR has the signature of its disk, and a GPT the GUID of its disk.
_SIGNATURE_AT, _GUID_AT = 440, 56
#: The header of a database of Active Directory (ESE): its mark, its state, and the state of one in use.
_ESE_MARK, _ESE_MARK_AT, _ESE_STATE_AT, _ESE_IN_USE = 0x89ABCDEF, 4, 52, 2
_ESE_HEADER = 4096


def examine(guest: WindowsGuest, blockers: Blockers) -> None:
    """Collect the roles in which a copy of the guest would do harm, and tell what the user must look after."""
    _check_cluster(guest, blockers)
    if guest.system.product is Product.DOMAIN_CONTROLLER:
        _check_domain_controller(guest, blockers)


def _check_cluster(guest: WindowsGuest, blockers: Blockers) -> None:
    starts = any_number(controls(guest, r"Services\ClusSvc"), "Start", _AUTOMATIC)
    if not starts and guest.files.find(f"{guest.system.systemroot}/Cluster/CLUSDB") is None:
        return
    signatures = _shared_signatures(guest)
    shared = [disk for disk, names in _identities(guest.session).items() if names & signatures]
    if shared:
        blockers.add(
            f"the guest is a node of a failover cluster, and the cluster's disks are among those to convert: "
            f"{', '.join(shared)}. Each node would get a copy of its own",
            "take the disks out of the cluster or evict the node (Remove-ClusterNode), or convert the guest without "
            "them and attach the shared storage on KVM, with persistent reservations, to all nodes",
        )
        return
    guest.session.report.warning(
        "the guest is a node of a failover cluster: on KVM it needs the same networks, names and shared storage (with "
        "persistent reservations) as now, and must not run at the same time as the source. It is safer to evict it "
        "(Remove-ClusterNode) before the conversion and to join it again"
    )


def _shared_signatures(guest: WindowsGuest) -> set[str]:
    """Return the signatures and GUIDs of the cluster's disks, in upper case and without braces."""
    names = set()
    for key in controls(guest, r"Services\ClusDisk\Parameters\Signatures"):
        below = key.keys()
        names |= {one.name.strip("{}").upper().removeprefix("0X").zfill(8) for one in below}
    return names


def _identities(session: Session) -> dict[str, set[str]]:
    """Return what Windows identifies each disk by: the signature of its MBR, or the GUID of its GPT."""
    found: dict[str, set[str]] = {}
    for disk in map(str, session.handle.list_devices()):
        try:
            start = bytes(session.handle.pread_device(disk, 8192, 0))
        except RuntimeError as err:
            session.report.debug(f"{disk}: {brief(err)}")
            continue
        found[disk] = identities_of(start)
    return found


def identities_of(start: bytes) -> set[str]:
    """Return the same for the beginning of a disk, as text without braces."""
    names = set()
    if start[510:512] == b"\x55\xaa":
        (signature,) = struct.unpack_from("<I", start, _SIGNATURE_AT)
        names |= {f"{signature:08X}"} if signature else set()
    for sector in (512, 4096):
        if start[sector : sector + 8] == b"EFI PART":
            names.add(str(uuid.UUID(bytes_le=start[sector + _GUID_AT : sector + _GUID_AT + 16])).upper())
    return names


def _check_domain_controller(guest: WindowsGuest, blockers: Blockers) -> None:
    path = _database(guest)
    header = guest.files.read_start(path, _ESE_HEADER) if path is not None else None
    if header is not None and in_use(header):
        blockers.add(
            f"the guest is a domain controller that was not shut down: its database {path} is still in use",
            "start the guest at its hypervisor, let it replicate, and shut it down; never convert a snapshot of a "
            "running domain controller",
        )
        return
    guest.session.report.warning(
        "the guest is a domain controller: once the copy has started, never start the source again (a USN rollback "
        "cuts it off from replication), and if the copy gets another VM-GenerationID, it discards its pool of RIDs and "
        "takes SYSVOL from another controller: have a second one running"
    )


def _database(guest: WindowsGuest) -> str | None:
    """Return the path of the database of Active Directory in the appliance; None if it is on another drive."""
    own = text(software(guest, WINDOWS_NT), "SystemRoot")[:2].upper()
    for key in controls(guest, r"Services\NTDS\Parameters"):
        stated = text(key, "DSA Database file")
        if re.fullmatch(r"[A-Za-z]:\\.+", stated) and stated[:2].upper() == own:
            return stated[2:].replace("\\", "/")
    return None


def in_use(header: bytes) -> bool:
    """Return whether the header of a database says that it was not closed."""
    if len(header) < _ESE_STATE_AT + 4:
        return False
    (mark,) = struct.unpack_from("<I", header, _ESE_MARK_AT)
    (state,) = struct.unpack_from("<I", header, _ESE_STATE_AT)
    return bool(mark == _ESE_MARK and state == _ESE_IN_USE)
