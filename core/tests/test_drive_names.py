# SPDX-License-Identifier: GPL-2.0-or-later
"""The letters in the names of drives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.drive_names import drive_letters, drive_number


@pytest.mark.parametrize(
    ("number", "letters"),
    [(0, "a"), (1, "b"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")],
)
def test_letters_and_numbers(number: int, letters: str) -> None:
    assert drive_letters(number) == letters
    assert drive_number(letters) == number


@given(st.integers(min_value=0, max_value=10**6))
def test_there_and_back(number: int) -> None:
    assert drive_number(drive_letters(number)) == number


def test_a_negative_number() -> None:
    with pytest.raises(ValueError, match="from 0, not -1"):
        drive_letters(-1)


@pytest.mark.parametrize("letters", ["", "A", "a1", "é", "aaaaaaa", "a\n"])
def test_what_is_not_letters_of_a_drive(letters: str) -> None:
    with pytest.raises(ValueError, match="not the letters of a drive"):
        drive_number(letters)
