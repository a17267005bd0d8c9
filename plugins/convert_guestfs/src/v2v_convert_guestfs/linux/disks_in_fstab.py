# SPDX-License-Identifier: GPL-2.0-or-later
"""Find out which disk each name in fstab means, from the file systems that are really on the disks.

The buses of the source suggest an answer (``DeviceNames``), but a bus may be unknown or wrong, and the guest may count
its disks in another order. So a name means a disk on which there is the partition, with a file system of the type in
fstab: the root file system for /, and another one for other mount points. Two names mean two disks if that is possible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from v2v_convert_guestfs.devices import family_of_name, is_link, split_device
from v2v_core.api import drive_letters

#: Types in fstab(5), and what libguestfs calls the file systems that they fit. Other types only fit themselves.
_CLASSES = {"ext2": "ext", "ext3": "ext", "ext4": "ext", "msdos": "vfat", "ntfs-3g": "ntfs", "ntfs3": "ntfs"}
_KNOWN = frozenset({"crypto_LUKS", "ext", "vfat", "ntfs", "xfs", "btrfs", "swap", "reiserfs", "jfs", "f2fs", "iso9660"})
#: In place of a type: the line does not say what is on the device.
ANY = "any"
_ROOT_SCORE = 1000
_SWAP = frozenset({"swap", "swsuspend"})
_BTRFS_VOLUME = re.compile(r"btrfsvol:(/dev/[^/]+)/.*")


@dataclass(frozen=True)
class Mention:
    """A line of fstab(5) or of another file that names a disk or partition by the kernel's name, or by a link to it.

    :param disk: the disk without /dev/. :param number: of the partition, or "" for the whole disk.
    :param kind: the type in fstab, "crypto_LUKS", or ANY if the line does not say what is on the device.
    :param number_of_line: from 1.
    """

    device: str
    disk: str
    number: str
    place: str
    kind: str
    number_of_line: int = 0
    line: str = ""

    @classmethod
    def of(cls, device: str, place: str, kind: str) -> Mention | None:
        """Return a mention of a device, or None if it is neither a disk nor a partition by such a name."""
        split = split_device(device)
        return cls(device, *split, place, kind) if split else None


@dataclass(frozen=True)
class FileSystems:
    """The file systems on the disks, by the names that the disks have in the appliance: sda is the source's first.

    :param kinds: the type of each device, as libguestfs knows it. :param root: the device of the root file system.
    :param claimed: the devices of which fstab says in other ways, such as UUID=, what they are for.
    :param members: devices that are a part of a volume group or an array, which are no file systems.
    :param last_mounted: where a file system was last mounted, by its device, if it has recorded that.
    """

    disks: int
    kinds: Mapping[str, str]
    root: str
    claimed: frozenset[str] = frozenset()
    members: frozenset[str] = frozenset()
    last_mounted: Mapping[str, str] = field(default_factory=dict)


def mentions(fstab: bytes) -> list[Mention]:
    """Return the lines that name a disk by the kernel's name, or by a link that is made from its hardware."""
    found = []
    for number, line in enumerate(fstab.decode("latin-1").split("\n"), 1):
        fields = line.split()
        device = split_device(fields[0]) if len(fields) > 2 and not fields[0].startswith("#") else None
        if device is not None:
            found.append(Mention(fields[0], *device, fields[1], fields[2].split(",")[0], number, " ".join(fields)))
    return found


def device_on(index: int, number: str) -> str:
    """Return the name that a partition has in the appliance."""
    return f"/dev/sd{drive_letters(index)}{number}"


def find_disks(
    named: Sequence[Mention],
    suggested: Mapping[str, int],
    present: FileSystems,
    *,
    trusted: bool,
    allowed: Mapping[str, frozenset[int]] | None = None,
) -> dict[str, int | None]:
    """Return the index of the disk, from 0, that each name in fstab means, or None if it cannot be told.

    :param suggested: the index of the disk by its name, from the buses of the source.
    :param trusted: whether those buses are known. If not, a suggestion counts only for names of a single family.
    :param allowed: the disks that a link can mean, as the source's controllers and serial numbers say.
    """
    possible = {disk: _possible(disk, named, present) for disk in dict.fromkeys(mention.disk for mention in named)}
    for link, indices in (allowed or {}).items():
        possible[link] = (possible[link] & indices) or possible[link]
    open_names = [disk for disk, indices in possible.items() if indices]
    by_kernel = [disk for disk in open_names if not is_link(disk)]
    usable = suggested if trusted or len({family_of_name(disk) for disk in by_kernel}) == 1 else {}
    found: dict[str, int | None] = {}
    guess = {disk: usable[disk] for disk in by_kernel if usable.get(disk) in possible[disk]}
    if len(set(guess.values())) == len(by_kernel):
        found.update(guess)
    open_names = [disk for disk in open_names if disk not in found]
    while open_names:
        told = _next(open_names, possible, usable, present.disks)
        if told is None:
            break
        disk, index = told
        found[disk] = index
        open_names.remove(disk)
        for other in open_names:
            if len(possible[other]) > 1 and _mean_two_disks(disk, other):
                possible[other] -= {index}
    for disk in (disk for disk in possible if disk not in found):
        # Nothing on the disks fits, or too much does.
        position = suggested.get(disk) if disk not in open_names and (trusted or present.disks == 1) else None
        found[disk] = position if present.disks == 1 or position not in found.values() else None
    return found


def corrections(found: Mapping[str, int | None], suggested: Mapping[str, int]) -> dict[str, int | None]:
    """Return what differs from the suggestion: names that mean another disk, and names that cannot be told.

    If the suggestion is wrong for one name, nothing is known of the other names of its family.
    """
    changed = {disk: index for disk, index in found.items() if suggested.get(disk) != index or is_link(disk)}
    wrong = {family_of_name(disk) for disk, index in changed.items() if index is not None and disk in suggested}
    others = [disk for disk in suggested if disk not in found and family_of_name(disk) in wrong]
    return changed | dict.fromkeys(others, None)


def _next(
    open_names: Sequence[str], possible: Mapping[str, frozenset[int]], suggested: Mapping[str, int], disks: int
) -> tuple[str, int] | None:
    """Return a name that can be told, with its disk: the only possible one, the suggested one, or one by order."""
    for disk in open_names:
        if len(possible[disk]) == 1:
            return disk, min(possible[disk])
    for disk in open_names:
        if disk in suggested and suggested[disk] in possible[disk]:
            return disk, suggested[disk]
    # The names of one family are in the order of the disks. If there is one for each disk, they can be told.
    for family in dict.fromkeys(family_of_name(disk) for disk in open_names):
        names = [disk for disk in open_names if family_of_name(disk) == family]
        if any(_mean_two_disks(names[0], other) for other in open_names if other not in names) or not _ordered(family):
            continue
        left = sorted(frozenset().union(*(possible[disk] for disk in names)))
        if len(left) == len(names) <= disks:
            first = min(names, key=lambda disk: ([int(number) for number in re.findall(r"\d+", disk)], len(disk), disk))
            if left[0] in possible[first]:
                return first, left[0]
    return None


def _mean_two_disks(disk: str, other: str) -> bool:
    """Return whether two names mean two disks: not a kernel's name and a link, nor links of two kinds."""
    return is_link(disk) == is_link(other) and (not is_link(disk) or family_of_name(disk) == family_of_name(other))


def _ordered(family: str) -> bool:
    """Return whether the names of a family are in the order of the disks. Serial numbers are not."""
    return not is_link(family) or family.startswith("disk/by-path/")


def _possible(disk: str, named: Iterable[Mention], present: FileSystems) -> frozenset[int]:
    """Return the disks that fit most lines with a name. A line may be older than the disks, unless it is that of /."""
    scores = dict.fromkeys(range(present.disks), 0)
    for mention in named:
        for index in scores if mention.disk == disk else ():
            scores[index] += (_ROOT_SCORE if mention.place == "/" else 1) * _fits(mention, index, present)
    best = max(scores.values(), default=0)
    fitting = frozenset(index for index, score in scores.items() if score == best > 0)
    recorded = {
        index
        for mention in named
        for index in (fitting if mention.disk == disk else ())
        if present.last_mounted.get(device_on(index, mention.number)) == mention.place
    }
    return frozenset(recorded) if len(recorded) == 1 else fitting


def _fits(mention: Mention, index: int, present: FileSystems) -> bool:
    device = device_on(index, mention.number)
    kind = present.kinds.get(device)
    if mention.kind == ANY:
        return kind is not None or device in present.members
    if kind is None:
        return False
    volume = _BTRFS_VOLUME.fullmatch(present.root)
    is_root = device == (volume[1] if volume else present.root)
    if (mention.place == "/" and not is_root and volume is None) or (mention.place != "/" and is_root and not volume):
        return False
    if device in present.claimed and kind != "btrfs":
        return False
    if mention.kind == "swap" or kind in _SWAP:
        return mention.kind == "swap" and kind in _SWAP
    wanted, real = (_CLASSES.get(name, name) for name in (mention.kind, kind))
    # libguestfs may not know a file system that the guest knows.
    return mention.kind == "auto" or wanted == real or (kind == "unknown" and wanted not in _KNOWN)
