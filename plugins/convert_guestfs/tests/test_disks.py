# SPDX-License-Identifier: GPL-2.0-or-later
"""Partition tables, read from the beginning of a disk."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.disks import is_dynamic, list_filesystems, parse_gpt

ESP = uuid.UUID("C12A7328-F81F-11D2-BA4B-00A0C93EC93B")
LDM = uuid.UUID("AF9B60A0-1431-4F62-BC68-3311714A69AD")


def gpt(sector: int, *types: uuid.UUID) -> bytes:
    header = b"EFI PART" + bytes(64) + struct.pack("<QII", 2, 128, 128) + bytes(4)
    entries = b"".join(kind.bytes_le + bytes(112) for kind in types)
    return bytes(sector) + header.ljust(sector, b"\0") + entries.ljust(128 * 128, b"\0")


@pytest.mark.parametrize("sector", [512, 4096])
def test_the_types_of_partitions(sector: int) -> None:
    assert parse_gpt(gpt(sector, ESP, LDM, ESP)) == {ESP, LDM}
    assert parse_gpt(gpt(sector)) == frozenset()


def test_dynamic_disks_are_known() -> None:
    assert is_dynamic(gpt(512, ESP, LDM))
    assert not is_dynamic(gpt(512, ESP))
    mbr = bytearray(512)
    mbr[510:] = b"\x55\xaa"
    mbr[446 + 4] = 0x42
    assert is_dynamic(bytes(mbr))


@given(st.binary(max_size=600), st.binary(max_size=300), st.booleans())
def test_damage_is_no_traceback(start: bytes, header: bytes, magic: bool) -> None:
    is_dynamic(start.ljust(512, b"\0") + (b"EFI PART" if magic else b"") + header)


class Volumes:
    """What libguestfs says of a disk with /boot beside a volume group, one of whose volumes is encrypted and open."""

    def list_devices(self) -> list[str]:
        return ["/dev/sda", "/dev/sdb"]

    def list_partitions(self) -> list[str]:
        return ["/dev/sda1", "/dev/sda2", "/dev/sda3"]

    def pread_device(self, device: str, count: int, offset: int) -> bytes:
        return bytes(count)

    def lvs(self) -> list[str]:
        return ["/dev/vg/root", "/dev/vg/safe"]

    def list_md_devices(self) -> list[str]:
        return []

    def list_dm_devices(self) -> list[str]:
        return ["/dev/mapper/luks-1"]

    def vfs_type(self, device: str) -> str:
        return {
            "/dev/sda1": "ext4",
            "/dev/sda2": "LVM2_member",
            "/dev/vg/root": "xfs",
            "/dev/vg/safe": "crypto_LUKS",
            "/dev/mapper/luks-1": "btrfs",
        }.get(device, "")


def test_volumes_are_listed_and_what_holds_them_is_not() -> None:
    assert list_filesystems(Volumes()) == {
        "/dev/sdb": "unknown",
        "/dev/sda1": "ext4",
        "/dev/sda3": "unknown",
        "/dev/vg/root": "xfs",
        "/dev/vg/safe": "crypto_LUKS",
        "/dev/mapper/luks-1": "btrfs",
    }
