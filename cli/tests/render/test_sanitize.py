# SPDX-License-Identifier: GPL-2.0-or-later
"""The texts of a guest cannot control a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_cli.render.sanitize import sanitize, sanitize_path


@pytest.mark.parametrize("text", ["plain", "Grüße, 世界", "a b", ""])
def test_harmless_texts_stay_as_they_are(text: str) -> None:
    assert sanitize(text) == text


def test_line_breaks_become_spaces() -> None:
    assert sanitize("a\r\n\tb") == "a   b"


@given(st.text(st.characters()))
def test_no_control_character_is_left(text: str) -> None:
    clean = sanitize(text)
    assert len(clean) == len(text)
    assert not [character for character in clean if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}]
    clean.encode()


def test_invisible_characters_are_seen_in_paths() -> None:
    assert sanitize_path("/grüße/世界") == "/grüße/世界"
    assert sanitize_path("/a\u200bb\xad\ufeff") == "/a\N{REPLACEMENT CHARACTER}b" + 2 * "\N{REPLACEMENT CHARACTER}"
