# SPDX-License-Identifier: GPL-2.0-or-later
"""Partition tables, read from the beginning of a disk."""

from __future__ import annotations

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.disks import is_dynamic, parse_gpt

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
