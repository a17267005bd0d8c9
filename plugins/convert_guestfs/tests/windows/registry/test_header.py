# SPDX-License-Identifier: GPL-2.0-or-later
"""Hives that Windows did not close, and damaged ones, are told by their first block."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.session import Blockers
from v2v_convert_guestfs.windows.registry import header
from v2v_convert_guestfs.windows.registry.header import State
from v2v_convert_guestfs.windows.registry.hive_files import find_hives
from v2v_convert_guestfs.windows.registry.hives import HiveName
from windows_guest import windows_guest


def hive(first: int = 7, second: int = 7, *, root: int = 32, length: int = 8192, minor: int = 5) -> bytes:
    """Return a hive of zeros behind a whole base block."""
    block = bytearray(4096)
    struct.pack_into("<4sIIQIIIIII", block, 0, b"regf", first, second, 0, 1, minor, 0, 1, root, length)
    struct.pack_into("<I", block, 508, header.checksum(block))
    return bytes(block) + bytes(length)


def changed(content: bytes, place: int, new: bytes) -> bytes:
    return content[:place] + new + content[place + len(new) :]


@pytest.mark.parametrize(
    ("content", "state", "words"),
    [
        (hive(), State.CLEAN, ""),
        # a file may be longer than the hive in it
        (hive() + bytes(4096), State.CLEAN, ""),
        (hive(8, 7), State.DIRTY, "sequence numbers are 8 and 7"),
        # Windows was stopped while it wrote the first block
        (changed(hive(8, 7), 12, b"x"), State.DIRTY, "checksum"),
        (changed(hive(), 12, b"x"), State.DAMAGED, "checksum"),
        (changed(hive(), 0, b"fger"), State.DAMAGED, "regf"),
        (hive()[:8192], State.DAMAGED, "it is cut: it has 8192 bytes in place of 12288"),
        (hive()[:100], State.DAMAGED, "only 100 bytes"),
        (b"", State.DAMAGED, "only 0 bytes"),
        (hive(minor=1), State.DAMAGED, "version 1.1"),
        (hive(root=8192), State.DAMAGED, "root key"),
        (hive(length=0) + bytes(8192), State.DAMAGED, "length of 0"),
    ],
)
def test_what_the_first_block_says(content: bytes, state: State, words: str) -> None:
    said = header.examine(content[: header.LENGTH], len(content))
    assert said.state is state
    assert words in said.reason
    assert bool(said.reason) == (state is not State.CLEAN)


@given(st.binary(max_size=600), st.integers(0, 4096), st.integers(0, 2**40))
def test_any_first_block_gets_an_answer(damage: bytes, place: int, size: int) -> None:
    said = header.examine(changed(hive(), place, damage)[: header.LENGTH], size)
    assert said.state is State.CLEAN or said.reason


def test_every_hive_that_cannot_be_edited_is_told_with_a_remedy() -> None:
    config = "/Windows/System32/config"
    guest = windows_guest(
        {
            f"{config}/System": hive(8, 7),
            f"{config}/SOFTWARE": hive()[:5000],
            f"{config}/SAM": hive(2, 1),
            f"{config}/COMPONENTS": hive(),
        }
    )
    blockers = Blockers()
    assert find_hives(guest.session, guest.files, "/Windows", blockers) == {HiveName.SYSTEM: f"{config}/System"}
    (dirty, shut_down), (damaged, check) = blockers.reasons
    assert "hive SYSTEM" in dirty
    assert f"{config}/System" in dirty
    assert "shut it down fully" in shut_down
    assert "hive SOFTWARE" in damaged
    assert "only 5000 bytes" in damaged
    assert "chkdsk" in check
    assert "SAM." in guest.report.infos[0]
    assert guest.report.warnings == []


def test_a_missing_hive_is_told() -> None:
    guest, blockers = windows_guest({"/Windows/System32/config/SYSTEM": hive()}), Blockers()
    find_hives(guest.session, guest.files, "/Windows", blockers)
    ((reason, _),) = blockers.reasons
    assert "the hive SOFTWARE of the guest's registry is missing (/Windows/System32/config/SOFTWARE)" in reason
