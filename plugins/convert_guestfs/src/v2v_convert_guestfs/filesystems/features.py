# SPDX-License-Identifier: GPL-2.0-or-later
"""The features of file systems: their names, the Linux that first knew them, and the superblocks that list them.

A file system has three sets of feature bits. A kernel that does not know a bit of the set "incompatible" does not mount
it, one that does not know a bit of "read-only compatible" does not write it. Only the checking programs refuse unknown
bits of the set "compatible". The names are those that mkfs and the manuals of the file systems use.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

#: Bytes at the beginning of a file system that have all the superblocks that are read here; btrfs has it at 64 KiB.
SUPERBLOCKS = 68 * 1024
_BTRFS_AT, _EXT_AT, _EROFS_AT = 64 * 1024, 1024, 1024

Version = tuple[int, int]


class Set(StrEnum):
    """One of the three sets of feature bits."""

    COMPATIBLE = "compatible"
    READ_ONLY = "read-only compatible"
    INCOMPATIBLE = "incompatible"


@dataclass(frozen=True)
class Feature:
    """A feature of a file system.

    :param since: the first version of Linux that knew it, as far as that is known here.
    """

    name: str
    since: Version | None = None


def _features(*listed: tuple[int, str, Version | None]) -> Mapping[int, Feature]:
    return {bit: Feature(name, since) for bit, name, since in listed}


_XFS = {
    Set.INCOMPATIBLE: _features(
        (0, "ftype", (3, 13)),
        (1, "sparse", (4, 2)),
        (2, "meta_uuid", (4, 3)),
        (3, "bigtime", (5, 10)),
        (4, "needsrepair", (5, 12)),
        (5, "nrext64", (5, 19)),
        (6, "exchange", (6, 10)),
        (7, "parent", (6, 10)),
        (8, "metadir", (6, 13)),
        (9, "zoned", (6, 15)),
        (10, "zone_gaps", (6, 15)),
    ),
    Set.READ_ONLY: _features(
        (0, "finobt", (3, 16)), (1, "rmapbt", (4, 8)), (2, "reflink", (4, 9)), (3, "inobtcount", (5, 10))
    ),
}
_EXT = {
    Set.INCOMPATIBLE: _features(
        (0, "compression", None),
        (1, "filetype", (2, 2)),
        (2, "needs_recovery", (2, 4)),
        (3, "journal_dev", (2, 4)),
        (4, "meta_bg", (2, 6)),
        (6, "extent", (2, 6)),
        (7, "64bit", (2, 6)),
        (8, "mmp", (3, 0)),
        (9, "flex_bg", (2, 6)),
        (10, "ea_inode", (4, 13)),
        (12, "dirdata", None),
        (13, "metadata_csum_seed", (4, 4)),
        (14, "large_dir", (4, 13)),
        (15, "inline_data", (3, 8)),
        (16, "encrypt", (4, 1)),
        (17, "casefold", (5, 2)),
    ),
    Set.READ_ONLY: _features(
        (0, "sparse_super", (2, 2)),
        (1, "large_file", (2, 2)),
        (3, "huge_file", (2, 6)),
        (4, "uninit_bg", (2, 6)),
        (5, "dir_nlink", (2, 6)),
        (6, "extra_isize", (2, 6)),
        (7, "snapshot", None),
        (8, "quota", (3, 6)),
        (9, "bigalloc", (3, 2)),
        (10, "metadata_csum", (3, 5)),
        (11, "replica", None),
        (12, "read-only", (4, 0)),
        (13, "project", (4, 5)),
        (14, "shared_blocks", None),
        (15, "verity", (5, 4)),
        (16, "orphan_present", (5, 15)),
    ),
    Set.COMPATIBLE: _features(
        (9, "sparse_super2", (3, 16)),
        (10, "fast_commit", (5, 10)),
        (11, "stable_inodes", (5, 5)),
        (12, "orphan_file", (5, 15)),
    ),
}
_BTRFS = {
    Set.INCOMPATIBLE: _features(
        (0, "mixed-backref", (2, 6)),
        (1, "default-subvol", (2, 6)),
        (2, "mixed-bg", (2, 6)),
        (3, "compress-lzo", (2, 6)),
        (4, "compress-zstd", (4, 14)),
        (5, "big-metadata", (3, 4)),
        (6, "extref", (3, 7)),
        (7, "raid56", (3, 9)),
        (8, "skinny-metadata", (3, 10)),
        (9, "no-holes", (3, 14)),
        (10, "metadata-uuid", (5, 0)),
        (11, "raid1c34", (5, 5)),
        (12, "zoned", (5, 12)),
        (13, "extent-tree-v2", None),
        (14, "raid-stripe-tree", (6, 7)),
        (16, "squota", (6, 7)),
        (17, "remap-tree", None),
    ),
    Set.READ_ONLY: _features(
        (0, "free-space-tree", (4, 5)),
        (1, "free-space-tree-valid", (4, 9)),
        (2, "verity", (5, 15)),
        (3, "block-group-tree", (6, 1)),
    ),
}
_EROFS = {
    Set.INCOMPATIBLE: _features(
        (0, "lz4_0padding", (5, 3)),
        (1, "big_pcluster", (5, 13)),
        (2, "chunked_file", (5, 15)),
        (3, "device_table", (5, 16)),
        (4, "ztailpacking", (5, 17)),
        (5, "fragments", (6, 1)),
        (6, "xattr_prefixes", (6, 4)),
        (7, "48bit", (6, 15)),
        (8, "metabox", (6, 17)),
    )
}
TABLES: Mapping[str, Mapping[Set, Mapping[int, Feature]]] = {
    "xfs": _XFS,
    **dict.fromkeys(("ext2", "ext3", "ext4"), _EXT),
    "btrfs": _BTRFS,
    "erofs": _EROFS,
}


def named(kind: str, which: Set, mask: int) -> tuple[Feature, ...]:
    """Return the features of the bits in a mask. One that is not known here is named by its set and its bit."""
    table = TABLES.get(kind, {}).get(which, {})
    return tuple(
        table.get(bit) or Feature(f"bit {bit} of its {which} features") for bit in range(64) if mask >> bit & 1
    )


def features_of(kind: str, start: bytes) -> Mapping[Set, int]:
    """Return the feature bits in a superblock; nothing if there is none of that kind.

    :param start: the beginning of the file system, ``SUPERBLOCKS`` bytes or fewer.
    """
    if kind == "xfs" and start[:4] == b"XFSB" and len(start) >= 220 and start[101] & 0xF == 5:
        compatible, read_only, incompatible = struct.unpack_from(">III", start, 208)
    elif kind in {"ext2", "ext3", "ext4"} and start[_EXT_AT + 56 : _EXT_AT + 58] == b"\x53\xef":
        compatible, incompatible, read_only = struct.unpack_from("<III", start.ljust(_EXT_AT + 104, b"\0"), 1024 + 92)
    elif kind == "btrfs" and start[_BTRFS_AT + 64 : _BTRFS_AT + 72] == b"_BHRfS_M":
        compatible, read_only, incompatible = struct.unpack_from(
            "<QQQ", start.ljust(_BTRFS_AT + 196, b"\0"), _BTRFS_AT + 172
        )
    elif kind == "erofs" and start[_EROFS_AT : _EROFS_AT + 4] == b"\xe2\xe1\xf5\xe0":
        (incompatible,) = struct.unpack_from("<I", start.ljust(_EROFS_AT + 84, b"\0"), _EROFS_AT + 80)
        compatible = read_only = 0
    else:
        return {}
    return {Set.COMPATIBLE: compatible, Set.READ_ONLY: read_only, Set.INCOMPATIBLE: incompatible}


def btrfs_devices(start: bytes) -> int:
    """Return the number of devices of a btrfs file system; 0 if it is none."""
    if start[_BTRFS_AT + 64 : _BTRFS_AT + 72] != b"_BHRfS_M":
        return 0
    return int.from_bytes(start[_BTRFS_AT + 136 : _BTRFS_AT + 144], "little")


def version_of(release: str) -> Version | None:
    """Return the version of a kernel by its release, such as 6.1.0-9-amd64."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", release)
    return (int(match[1]), int(match[2])) if match else None


def newer_than(kind: str, start: bytes, release: str) -> tuple[Feature, ...]:
    """Return the features in a superblock that keep a kernel from using it, going by its version."""
    version = version_of(release)
    present = features_of(kind, start)
    found = [
        feature
        for which in (Set.INCOMPATIBLE, Set.READ_ONLY)
        for feature in named(kind, which, present.get(which, 0))
        if version is not None and feature.since is not None and feature.since > version
    ]
    return tuple(found)
