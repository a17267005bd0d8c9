# SPDX-License-Identifier: GPL-2.0-or-later
"""The description of a guest that the user gives (``--metadata guest.xml``), in place of what its source says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from v2v_core.errors import MetadataError, UsageError
from v2v_core.metadata.domain_reader import source_disks
from v2v_core.metadata.source import source_from
from v2v_core.metadata.tree import add, read_tree, to_bytes
from v2v_core.metadata.validation import check_tree
from v2v_core.model import Firmware, Guest, SourceDisk

if TYPE_CHECKING:
    from lxml import etree

_HINT = "give the domain XML of the guest, as 'virsh dumpxml GUEST' prints it"
#: Ways of naming where the data of a disk is (https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms).
_PLACES = ("file", "dev", "volume", "name")


@dataclass(frozen=True)
class GivenGuest:
    """A guest as libvirt domain XML describes it, and which parts of the guest the XML names.

    :param files: for each disk of ``guest`` the last part of its path, or None.
    :param left_out: interfaces that are connected to neither a network nor a bridge, in words.
    """

    guest: Guest
    named: frozenset[str]
    files: tuple[str | None, ...]
    left_out: tuple[str, ...]
    domain_xml: bytes

    def applied_to(self, source: Guest) -> Guest:
        """Return the guest of the source with everything that the XML names. The disks are those of the source."""
        values = {field: getattr(self.guest, field) for field in self.named}
        if source.hypervisor == Guest.hypervisor:
            values["hypervisor"] = self.guest.hypervisor
        return replace(source, **values, disks=self._disks(source.disks))

    def unmatched(self, source: Guest) -> tuple[str, ...]:
        """Return what does not fit together: disks that only the source or only the XML has, in words."""
        if not self.files:
            return ()
        pairs = self._pairs(source.disks)
        missing = [disk.origin or f"disk {disk.index}" for disk in source.disks if disk.index not in pairs]
        described = [
            self.files[position] or f"disk {position + 1}"
            for position in range(len(self.files))
            if position not in pairs.values()
        ]
        return (
            *(f"{name} is not described there" for name in missing),
            *(f"its disk {name} was not given" for name in described),
        )

    def _disks(self, disks: Sequence[SourceDisk]) -> tuple[SourceDisk, ...]:
        pairs = self._pairs(disks)
        changed = []
        for disk in disks:
            given = self.guest.disks[pairs[disk.index]] if disk.index in pairs else None
            if given is None:
                changed.append(disk)
            else:
                changed.append(replace(disk, bus=given.bus or disk.bus, boot_order=given.boot_order or disk.boot_order))
        return tuple(changed)

    def _pairs(self, disks: Sequence[SourceDisk]) -> dict[int, int]:
        """Return which disk of the XML belongs to which disk of the source: by the file's name, else by the order."""
        origins = {disk.index: Path(disk.origin).name if disk.origin else None for disk in disks}
        names, files = list(origins.values()), list(self.files)
        pairs = {
            index: files.index(name)
            for index, name in origins.items()
            if name and names.count(name) == 1 and files.count(name) == 1
        }
        rest = [disk.index for disk in disks if disk.index not in pairs]
        free = [position for position in range(len(files)) if position not in pairs.values()]
        # a name that fits nothing may be that of a copy; the order tells the disks apart only if there are as many
        return {**pairs, **dict(zip(rest, free, strict=True))} if len(rest) == len(free) else pairs


def read_given(path: Path) -> GivenGuest:
    """Read the description of a guest. It is not trusted: nothing that it refers to is read.

    :raises UsageError: the file cannot be read, or is not the description of a guest.
    """
    try:
        root = read_tree(path)
        missing = _completed(root)
        check_tree(root, path)
        guest = source_from(root, path)
    except MetadataError as err:
        raise UsageError(f"--metadata: {err.message}", hint=_HINT) from err
    return GivenGuest(
        guest=guest,
        named=frozenset(_named(root, guest, missing)),
        files=tuple(_file(disk) for disk in source_disks(root)),
        left_out=tuple(_left_out(root)),
        domain_xml=to_bytes(root),
    )


def _completed(root: etree._Element) -> frozenset[str]:
    """Add what libvirt requires and a description by hand may lack. Return the names of these elements."""
    missing = frozenset(tag for tag in ("name", "devices") if root.find(tag) is None)
    for tag in sorted(missing):
        add(root, tag, text="unknown" if tag == "name" else None)
    return missing


def _named(root: etree._Element, guest: Guest, missing: frozenset[str]) -> Iterator[str]:
    """Yield the fields of a guest that the XML says something about."""
    if "name" not in missing:
        yield "name"
    if root.find("memory") is not None:
        yield "memory"
    if root.find("vcpu") is not None or root.find("cpu") is not None:
        yield "cpu"
    if root.find("features") is not None:
        yield "features"
    if guest.firmware is not Firmware.UNKNOWN:
        yield from ("firmware", "secure_boot")
    if guest.genid is not None:
        yield "genid"
    if guest.os is not None:
        yield "os"
    if "devices" not in missing:
        # a list of devices is whole: what is not in it, the guest does not have
        yield from ("display", "sound", "removables", "nics", "tpm", "vsock")


def _file(disk: etree._Element) -> str | None:
    source = disk.find("source")
    if source is None:
        return None
    place = next((place for name in _PLACES if (place := source.get(name))), None)
    return None if place is None else place.rpartition("/")[2] or None


def _left_out(root: etree._Element) -> Iterator[str]:
    for interface in root.iterfind("devices/interface"):
        if interface.get("type") not in {"network", "bridge"}:
            mac = interface.find("mac")
            named = "" if mac is None else f" {mac.get('address', '')}"
            yield f"the interface{named} of the type {interface.get('type', '')!r}"
