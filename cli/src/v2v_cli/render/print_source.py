# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of ``--print-source``: the source hypervisor's description of the guest. Scripts compare it as a whole."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_cli.render.sanitize import sanitize
from v2v_core.model import Bus, Display, Guest, Nic, Removable, SourceDisk

_LABEL_WIDTH = 15


def print_source(guest: Guest) -> str:
    """Describe a guest as virt-v2v does, heading included."""
    return f"Source guest information (--print-source option):\n\n{describe_source(guest)}\n"


def describe_source(guest: Guest) -> str:
    """Describe a guest, line by line."""
    lines = [*_properties(guest)]
    for label, items in (
        ("disks", [_disk(disk) for disk in guest.disks]),
        ("removable media", [_removable(drive) for drive in guest.removables]),
        ("NICs", [_nic(nic) for nic in guest.nics]),
    ):
        # an empty list is one empty line
        lines += [f"{label}:", *(items or [""])]
    return "".join(f"{line}\n" for line in lines)


def _properties(guest: Guest) -> Iterator[str]:
    topology = guest.cpu.topology
    values = {
        "source name": guest.name,
        # virt-v2v's word for it
        "hypervisor type": "unknownhv" if guest.hypervisor == "unknown" else guest.hypervisor,
        "VM genid": guest.genid or "",
        "memory": f"{guest.memory} (bytes)",
        "nr vCPUs": str(guest.cpu.count),
        "CPU vendor": guest.cpu.vendor or "",
        "CPU model": guest.cpu.model or "",
        "CPU topology": ""
        if topology is None
        else f"sockets: {topology.sockets} cores/socket: {topology.cores} threads/core: {topology.threads}",
        "CPU features": ",".join(sorted(guest.features)),
        "firmware": guest.firmware.value,
        "UEFI secureboot": "true" if guest.secure_boot else "false",
        "display": "" if guest.display is None else _display(guest.display),
        "sound": guest.sound or "",
    }
    for label, value in values.items():
        yield f"{label.rjust(_LABEL_WIDTH)}: {sanitize(value)}"


def _display(display: Display) -> str:
    keymap = f" {display.keymap}" if display.keymap else ""
    password = " with password" if display.password is not None else ""
    listen = f" listening on address {display.listen}" if display.listen else ""
    return f"{display.kind}{keymap}{password}{listen}"


def _disk(disk: SourceDisk) -> str:
    # virt-v2v counts from 0 here, and only here
    return f"\t{disk.index - 1}{_bracketed(disk.bus)}"


def _removable(drive: Removable) -> str:
    kind = "CD-ROM" if drive.kind == "cdrom" else "Floppy"
    slot = "" if drive.slot is None else f" in slot {drive.slot}"
    return f"\t{kind}{_bracketed(drive.bus)}{slot}"


def _nic(nic: Nic) -> str:
    kind = "Bridge" if nic.kind == "bridge" else "Network"
    # an address that was made for the target is not the source's
    mac = "" if nic.mac is None or nic.mac_is_new else f" mac: {sanitize(nic.mac)}"
    model = "" if nic.model is None else f" [{sanitize(nic.model)}]"
    return f'\t{kind} "{sanitize(nic.network)}"{mac}{model}'


def _bracketed(bus: Bus | None) -> str:
    # virt-v2v names no floppy controller
    return "" if bus in {None, Bus.FLOPPY} else f" [{bus}]"
