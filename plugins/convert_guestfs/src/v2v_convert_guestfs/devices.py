# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of disks before and after the conversion: /dev/sda2 at the source is /dev/vda2 on KVM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from v2v_core.api import Bus, SourceDisk, drive_letters

_DISK = r"(?:sd|hd|vd|xvd)[a-z]{1,3}|nvme\d{1,4}n\d{1,4}|cciss/c\d{1,2}d\d{1,3}|ida/c\d{1,2}d\d{1,3}"
#: A disk or a partition: /dev/ + name + number. A ``p`` separates the number from a name that ends in a digit.
_DEVICE = re.compile(
    rf"/dev/(?P<disk>{_DISK})(?:(?<=\d)p(?P<after_p>\d{{1,3}})|(?<=[a-z])(?P<number>\d{{1,3}}))?", re.ASCII
)
#: The same inside other text: not in the middle of a longer path or word.
_TOKEN = re.compile(rf"(?<![\w./-]){_DEVICE.pattern}(?![\w/.-])", re.ASCII)
#: Links that udev and multipathd make from serial numbers and controllers, which are others on KVM.
_LINK = r"/dev/(?:disk/by-(?:id|path)|mapper)/[\w.:@+=~-]{1,255}"
_LINK_TOKEN = re.compile(rf"(?<![\w./-]){_LINK}", re.ASCII)
_BY_PATH = re.compile(
    r"(?P<link>disk/by-path/(?!ip-|fc-|.*-(?:usb|iscsi|fc)-).+?)(?:-part(?P<number>\d{1,3}))?", re.ASCII
)
#: Links of LVM and RAID stay what they are, and a disk on USB is not the source's.
_BY_ID = re.compile(r"(?P<link>disk/by-id/(?!dm-|lvm-|md-|usb-|memstick-).+?)(?:-part(?P<number>\d{1,3}))?", re.ASCII)
_MULTIPATH = re.compile(
    r"(?P<named>mapper/mpath[a-z]{1,3}?)(?:(?:p|[-_]part)?(?P<number>\d{1,3}))?"
    r"|(?P<link>mapper/3[0-9a-f]{16,32})(?:(?:p|[-_]part)(?P<part>\d{1,3}))?",
    re.ASCII,
)
_MULTIPATH_LINK = re.compile(
    r"disk/by-id/dm-(?:name-(?P<name>.+)|uuid-(?:part(?P<number>\d{1,3})-)?mpath-(?P<identity>3[0-9a-f]{16,32}))",
    re.ASCII,
)
BY_UUID = "/dev/disk/by-uuid/"
#: The same in a shell pattern or regular expression: one disk with all its partitions, and any disks.
_ONE_PATTERN = re.compile(r"(?<![\w./-])/dev/((?:sd|hd|xvd)[a-z])(?=[.*?\[({\\+])", re.ASCII)
_ANY_PATTERN = re.compile(r"(?<![\w./-])/dev/(?:sd|hd|xvd)(?=[.*?\[({\\+])", re.ASCII)

#: The name of the i-th disk in each family of names, and the families that each bus may have.
_NAMES: Mapping[str, Callable[[int], str]] = {
    "sd": lambda index: "sd" + drive_letters(index),
    "hd": lambda index: "hd" + drive_letters(index),
    "vd": lambda index: "vd" + drive_letters(index),
    "xvd": lambda index: "xvd" + drive_letters(index),
    "nvme": lambda index: f"nvme{index}n1",
    "cciss": lambda index: f"cciss/c0d{index}",
    "ida": lambda index: f"ida/c0d{index}",
}
_FAMILIES: Mapping[Bus, tuple[str, ...]] = {
    # libata calls IDE disks sd, the old IDE drivers hd.
    Bus.IDE: ("hd", "sd"),
    Bus.SATA: ("sd",),
    Bus.SCSI: ("sd", "cciss", "ida"),
    Bus.VIRTIO_SCSI: ("sd",),
    Bus.VIRTIO_BLK: ("vd",),
    Bus.NVME: ("nvme",),
}


def suggested_disks(disks: Sequence[SourceDisk]) -> dict[str, int]:
    """Return the index of each disk by its names, as the buses of the source suggest them."""
    positions: dict[str, int] = {}
    counted: dict[str, int] = {}
    for index, disk in enumerate(disks):
        for family in _FAMILIES[disk.bus] if buses_known(disks) and disk.bus is not None else ():
            position = counted.get(family, 0)
            counted[family] = position + 1
            if family == "hd" and disk.controller is not None and disk.unit is not None:
                # The drivers that call disks hd keep a name for each place: hdc is the first one of the second channel.
                position = 2 * disk.controller + disk.unit
            positions[_NAMES[family](position)] = index
    for family, name in _NAMES.items():
        if family not in counted:
            for index in range(len(disks)):
                positions.setdefault(name(index), index)
    return positions


def buses_known(disks: Sequence[SourceDisk]) -> bool:
    """Return whether the source says on which bus each disk is."""
    return all(disk.bus in _FAMILIES for disk in disks)


def split_device(device: str) -> tuple[str, str] | None:
    """Return the disk without /dev/ and the number of the partition or "", or None if it is neither.

    The disk is the kernel's name for it, ``sda``, or a link to it: ``disk/by-path/pci-0000:03:00.0-scsi-0:0:1:0``.
    """
    match = _DEVICE.fullmatch(device)
    return (match["disk"], match["after_p"] or match["number"] or "") if match else split_link(device)


def split_link(device: str) -> tuple[str, str] | None:
    """Return the link to a disk without /dev/ and the number of the partition or "", or None if it is no such link.

    Only links that are made from the disk's hardware count.
    """
    path = device.removeprefix("/dev/")
    if path == device or not re.fullmatch(_LINK, device, re.ASCII):
        return None
    if match := _MULTIPATH_LINK.fullmatch(path):
        if match["name"]:
            return split_link(f"/dev/mapper/{match['name']}")
        return f"mapper/{match['identity']}", match["number"] or ""
    if match := _MULTIPATH.fullmatch(path):
        return match["named"] or match["link"], match["part"] or match["number"] or ""
    match = _BY_PATH.fullmatch(path) or _BY_ID.fullmatch(path)
    return (match["link"], match["number"] or "") if match else None


def links_in(text: str) -> list[str]:
    """Return the links in the text that are made from hardware, each once."""
    found = (_without_mapping(match[0]) for match in _LINK_TOKEN.finditer(text))
    return list(dict.fromkeys(link for link in found if split_link(link)))


def is_link(disk: str) -> bool:
    """Return whether this is a link to a disk and not the kernel's name for it."""
    return disk.startswith(("disk/", "mapper/"))


def family_of_name(disk: str) -> str:
    """Return the family of a disk's name: nvme of nvme0n1, sd of sda. Two names of a family mean two disks.

    That of a link is its beginning: ``disk/by-path/pci-0000:03:00.0``, ``disk/by-id/wwn``, ``mapper``.
    """
    if is_link(disk):
        family = re.match(r"disk/by-path/.*(?=-[a-z]+-[\d:.]+$)|disk/by-id/(?:scsi-.|nvme-eui|[a-z]+)|mapper/.", disk)
        return family[0] if family else disk
    return next(family for family in sorted(_NAMES, key=len, reverse=True) if disk.startswith(family))


def _without_mapping(link: str) -> str:
    """Return a link without what can follow it on a command line: ``cryptdevice=/dev/disk/by-id/x-part2:root``."""
    if link.startswith("/dev/disk/by-path/"):
        return re.sub(r"(-part\d{1,3}):.*", r"\1", link, flags=re.ASCII)
    return link.partition(":")[0].rstrip(".")


@dataclass(frozen=True)
class DeviceNames:
    """The new name of each disk by its old one, both without /dev/: ``{"sda": "vda"}``.

    :param drives: the same for CD-ROM drives: ``{"hdc": "cdrom"}``.
    :param volumes: the new names of LVM's physical volumes that the guest mounts file systems from: ``/dev/vda2``.
    :param uuids: the UUIDs of file systems, swap and encrypted devices by the new names. A link becomes a link by UUID.
    :param untold: names that look like the guest's disks, and nothing proves which of them they mean.
    """

    disks: Mapping[str, str] = field(default_factory=dict)
    drives: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    uuids: Mapping[str, str] = field(default_factory=dict)
    untold: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        disks: Sequence[SourceDisk],
        prefix: str,
        drives: Mapping[str, str] | None = None,
        known: Mapping[str, int | None] | None = None,
    ) -> DeviceNames:
        """Work out the names from the buses of the source's disks.

        Disks are counted per bus. A family of names that no disk's bus has is counted over all disks: a bus may be
        wrong or unknown (an import of plain files), and a configuration file may be older than the bus.

        :param prefix: of the names on KVM: vd, sd or hd.
        :param known: what the guest's file systems have proved: the index of a disk by its name, or None if the name
            cannot be told.
        """
        positions = suggested_disks(disks) | {name: index for name, index in (known or {}).items() if index is not None}
        untold = frozenset(name for name, index in (known or {}).items() if index is None)
        names = {name: prefix + drive_letters(index) for name, index in positions.items() if name not in untold}
        return cls(names, drives or {}, untold=untold)

    def rename(self, device: str) -> str | None:
        """Return the new name of a disk or partition, or None if it is not the guest's. Both begin with /dev/.

        Where the old one is a link, the new one is a link by UUID, or the kernel's name if there is no UUID.
        """
        match = _DEVICE.fullmatch(device)
        return self._new_name(match) if match else self._for_link(device)

    def rename_in(self, text: str) -> str:
        """Rename every disk and partition in the text, and leave every other byte as it is."""
        parts, position = [], 0
        for match in _LINK_TOKEN.finditer(text):
            link = _without_mapping(match[0])
            parts += [self._rename_names(text[position : match.start()]), self._for_link(link) or link]
            position = match.start() + len(link)
        return "".join([*parts, self._rename_names(text[position:])])

    def rename_patterns_in(self, text: str) -> str:
        """Rename patterns of disks, ``/dev/sd*``, ``/dev/sda.*``, ``/dev/sd[ab]1``, and single disks as well."""
        text = _ONE_PATTERN.sub(lambda match: "/dev/" + self.disks.get(match[1], match[1]), self.rename_in(text))
        prefixes = {re.sub(r"[a-z]$", "", name) for name in self.disks.values() if len(name) <= len("xvda")}
        return _ANY_PATTERN.sub(f"/dev/{prefixes.pop()}", text) if len(prefixes) == 1 else text

    def unknown_in(self, text: str) -> tuple[str, ...]:
        """List the names in the text that look like disks and do not belong to the guest. Untold ones are left out."""
        return tuple(
            match[0]
            for match in _TOKEN.finditer(text)
            if self._new_name(match) is None and match["disk"] not in self.untold
        )

    def untold_in(self, text: str) -> tuple[str, ...]:
        """List the names in the text that look like the guest's disks, and nothing proves which of them they mean."""
        names = [match[0] for match in _TOKEN.finditer(text) if match["disk"] in self.untold]
        return (*names, *(link for link in links_in(text) if self._for_link(link) is None))

    def stale_in(self, text: str) -> tuple[str, ...]:
        """List the names in the text that are wrong after the conversion: they mean another disk, or none."""
        names = [match[0] for match in _TOKEN.finditer(text) if (self._new_name(match) or match[0]) != match[0]]
        return (*names, *(link for link in links_in(text) if self._for_link(link)))

    def _rename_names(self, text: str) -> str:
        return _TOKEN.sub(lambda match: self._new_name(match) or match[0], text)

    def _for_link(self, link: str) -> str | None:
        disk, number = split_link(link) or ("", "")
        new = f"/dev/{self.disks[disk]}{number}" if disk in self.disks else None
        return BY_UUID + self.uuids[new] if new is not None and new in self.uuids else new

    def _new_name(self, match: re.Match[str]) -> str | None:
        disk = self.drives.get(match["disk"]) or self.disks.get(match["disk"])
        if disk is None:
            return None
        number = match["after_p"] or match["number"] or ""
        return f"/dev/{disk}{number}"
