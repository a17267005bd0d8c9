# SPDX-License-Identifier: GPL-2.0-or-later
"""The feature bits of real file systems, and their names."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.filesystems.features import (
    SUPERBLOCKS,
    TABLES,
    Set,
    btrfs_devices,
    features_of,
    named,
    newer_than,
    version_of,
)

MIB = 1024 * 1024


def made(tmp_path: Path, size: int, *argv: str) -> bytes:
    """Return the beginning of a new file system."""
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([*argv, str(image)], check=True, capture_output=True)
    return image.read_bytes()[:SUPERBLOCKS]


def names(kind: str, start: bytes, which: Set) -> set[str]:
    return {feature.name for feature in named(kind, which, features_of(kind, start)[which])}


def test_ext4(tmp_path: Path) -> None:
    start = made(tmp_path, 16 * MIB, "mkfs.ext4", "-q", "-O", "metadata_csum_seed,orphan_file,inline_data")
    assert {"metadata_csum_seed", "inline_data", "extent", "64bit"} <= names("ext4", start, Set.INCOMPATIBLE)
    assert "orphan_file" in names("ext4", start, Set.COMPATIBLE)
    assert "metadata_csum" in names("ext4", start, Set.READ_ONLY)


def test_xfs(tmp_path: Path) -> None:
    start = made(tmp_path, 320 * MIB, "mkfs.xfs", "-q", "-f", "-m", "reflink=1,bigtime=1", "-i", "nrext64=1")
    assert names("xfs", start, Set.INCOMPATIBLE) == {"ftype", "sparse", "bigtime", "nrext64"}
    assert {"finobt", "reflink"} <= names("xfs", start, Set.READ_ONLY)
    old = made(tmp_path, 320 * MIB, "mkfs.xfs", "-q", "-f", "-m", "crc=0")
    assert features_of("xfs", old) == {}


def test_btrfs(tmp_path: Path) -> None:
    start = made(tmp_path, 128 * MIB, "mkfs.btrfs", "-q", "-f", "-O", "no-holes", "-R", "free-space-tree")
    assert {"no-holes", "skinny-metadata"} <= names("btrfs", start, Set.INCOMPATIBLE)
    assert "free-space-tree" in names("btrfs", start, Set.READ_ONLY)
    assert btrfs_devices(start) == 1


def test_what_a_kernel_of_that_version_does_not_know(tmp_path: Path) -> None:
    start = made(tmp_path, 320 * MIB, "mkfs.xfs", "-q", "-f", "-m", "bigtime=1", "-i", "nrext64=1")
    assert [feature.name for feature in newer_than("xfs", start, "5.14.0-503.el9.x86_64")] == ["nrext64"]
    assert newer_than("xfs", start, "6.1.0-9-amd64") == ()
    assert newer_than("xfs", start, "of an unknown version") == ()
    assert version_of("4.18.0-553.el8_10.x86_64") == (4, 18)


def test_a_bit_without_a_name_has_its_number() -> None:
    assert [feature.name for feature in named("xfs", Set.INCOMPATIBLE, 1 << 5 | 1 << 29)] == [
        "nrext64",
        "bit 29 of its incompatible features",
    ]
    assert named("reiserfs", Set.READ_ONLY, 1)[0].name == "bit 0 of its read-only compatible features"


def test_no_name_is_given_twice() -> None:
    for kind, table in TABLES.items():
        for features in table.values():
            assert len({feature.name for feature in features.values()}) == len(features), kind


@given(st.sampled_from(sorted(TABLES)), st.binary(max_size=300))
def test_other_content_has_no_features(kind: str, start: bytes) -> None:
    assert features_of(kind, start) == {}
    assert btrfs_devices(start) == 0


@given(st.integers(0, SUPERBLOCKS))
def test_a_short_superblock_is_no_traceback(length: int) -> None:
    start = bytearray(SUPERBLOCKS)
    start[:4], start[1080:1082], start[65600:65608] = b"XFSB", struct.pack("<H", 0xEF53), b"_BHRfS_M"
    start[100:102], start[1024:1028] = b"\xb4\xa5", b"\xe2\xe1\xf5\xe0"
    for kind in TABLES:
        features_of(kind, bytes(start[:length]))


@pytest.mark.parametrize("devices", [1, 3])
def test_the_devices_of_btrfs_are_counted(devices: int) -> None:
    start = bytearray(SUPERBLOCKS)
    start[65600:65608], start[65672:65680] = b"_BHRfS_M", devices.to_bytes(8, "little")
    assert btrfs_devices(bytes(start)) == devices
