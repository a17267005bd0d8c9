# SPDX-License-Identifier: GPL-2.0-or-later
"""Text from guests is made fit for terminals, names and limits of length."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.text import cut_name, object_name, printable, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, déjà vu, 名前", "plain text, déjà vu, 名前"),
        ("two\nlines\tand\ra tab", "two lines and a tab"),
        ("\x1b[31mred\x7f", " [31mred "),
        ("C1: \x9b31m\x80", "C1:  31m "),
        ("a\u2028b\u2029c", "a b c"),
        (os.fsdecode(b"not UTF-8: \xff"), "not UTF-8:  "),
        ("", ""),
    ],
)
def test_printable(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_printable_takes_another_replacement() -> None:
    assert printable("a\x00b\nc", "_") == "a_b_c"


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_printable_text_is_one_line_of_utf8(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, déjà vu, 名前", "plain text, déjà vu, 名前"),
        ("a\nb\x1b[2Jc\x9b\u2028", "a b [2Jc  "),
        ("turned \u202eround", "turned  round"),
        ("no\u200bwidth", "no width"),
        ("no\u00a0break", "no break"),
        ("unassigned \u0378", "unassigned  "),
    ],
)
def test_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text(st.characters(exclude_categories=()), max_size=50))
def test_visible_text_is_printable(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text, "?") == printable(visible(text, "?"))


def test_a_name_within_the_limit_is_not_cut() -> None:
    assert cut_name("é" * 10, 20) == "é" * 10


def test_a_long_name_is_cut_between_two_characters_and_marked() -> None:
    cut = cut_name("é" * 20, 20)
    # 11 bytes are left for the name; the sixth é would need twelve
    assert cut.startswith("é" * 5 + "~")
    assert len(cut.encode()) == 10 + 9


def test_long_names_that_begin_alike_stay_different() -> None:
    assert cut_name("n" * 100 + "1", 50) != cut_name("n" * 100 + "2", 50)


def test_long_names_that_differ_only_in_bytes_that_are_not_utf8_stay_different() -> None:
    one, other = (os.fsdecode(byte + b"n" * 100) for byte in (b"\xfe", b"\xff"))
    assert cut_name(one, 50) != cut_name(other, 50)


def test_a_byte_that_is_not_utf8_counts_as_one() -> None:
    name = os.fsdecode(b"\xff" * 20)
    assert cut_name(name, 20) == name
    assert cut_name(name, 19) == f"{'?' * 10}~{cut_name(name, 19)[-8:]}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("web server 'Ä'", "web server 'Ä'"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\nb\x1bc\u2028d\ufffee\uffff", "a_b_c_d_e_"),
        (os.fsdecode(b"caf\xe9"), "caf_"),
        ("  ", "unnamed"),
        ("", "unnamed"),
    ],
)
def test_object_name(text: str, expected: str) -> None:
    assert object_name(text, 100) == expected


def test_a_long_object_name_is_cut() -> None:
    assert object_name("n" * 300, 240) == cut_name("n" * 300, 240)
