# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may change a file of Windows, by its security descriptor."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.access_rights import other_writers
from windows_guest import ONLY_ADMINISTRATORS


def sid(*numbers: int) -> bytes:
    return struct.pack(f"<BB6s{len(numbers)}I", 1, len(numbers), bytes([0, 0, 0, 0, 0, 5]), *numbers)


SYSTEM, ADMINISTRATORS, USERS, AUTHENTICATED = sid(18), sid(32, 544), sid(32, 545), sid(11)


def descriptor(owner: bytes, *entries: tuple[int, int, int, bytes]) -> bytes:
    """Return a descriptor; entries are kind (0 to allow, 1 to deny), flags, rights and whose."""
    body = b"".join(struct.pack("<BBHI", kind, flags, 8 + len(who), mask) + who for kind, flags, mask, who in entries)
    rights = struct.pack("<BBHHH", 2, 0, 8 + len(body), len(entries), 0) + body
    return struct.pack("<BBHIIII", 1, 0, 0x8004, 20, 0, 0, 20 + len(owner)) + owner + rights


@pytest.mark.parametrize(
    ("content", "writers"),
    [
        (ONLY_ADMINISTRATORS, []),
        # read and run
        (descriptor(SYSTEM, (0, 3, 0x1F01FF, SYSTEM), (0, 3, 0x1200A9, USERS)), []),
        (descriptor(SYSTEM, (1, 0, 0x1F01FF, USERS)), []),
        (descriptor(SYSTEM, (0, 3, 0x1301BF, AUTHENTICATED)), ["S-1-5-11"]),
        (descriptor(SYSTEM, (0, 11, 0x10000000, USERS)), ["S-1-5-32-545"]),
        # an owner may change the rights
        (descriptor(sid(21, 1, 2, 3, 1001)), ["S-1-5-21-1-2-3-1001"]),
        (descriptor(SYSTEM, (9, 0, 0x1F01FF, USERS)), ["an entry of the type 9"]),
        (struct.pack("<BBHIIII", 1, 0, 0x8000, 0, 0, 0, 0), ["everyone"]),
        (ONLY_ADMINISTRATORS[:-4], ["everyone"]),
        (b"", ["everyone"]),
    ],
)
def test_who_may_write(content: bytes, writers: list[str]) -> None:
    assert other_writers(content) == writers


@given(st.binary(max_size=100), st.integers(0, 80))
def test_any_descriptor_gets_an_answer(damage: bytes, place: int) -> None:
    content = descriptor(SYSTEM, (0, 3, 0x1F01FF, SYSTEM), (0, 3, 0x1200A9, USERS))
    assert isinstance(other_writers(content[:place] + damage + content[place + len(damage) :]), list)
