# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of a registry: any bytes under any type are read, or are not what was asked for; none is an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_convert_guestfs.windows.registry.values import Type, Value, binary, dword, expand_sz, multi_sz, qword, sz


@given(st.integers(0, 2**32 - 1) | st.sampled_from(list(Type)), st.binary(max_size=300))
def test_any_value_gets_an_answer(kind: int, data: bytes) -> None:
    value = Value(kind, data)
    assert value.text is None or "\0" not in value.text
    assert value.texts is None or all(value.texts)
    assert value.number is None or value.number >= 0
    shown = str(value)
    assert shown.isprintable()
    assert len(shown) < 1000


@pytest.mark.parametrize(
    ("value", "text", "texts", "number"),
    [
        (sz("a\u20ac"), "a\u20ac", None, None),
        (expand_sz("%SystemRoot%"), "%SystemRoot%", None, None),
        (multi_sz("a", "b"), None, ("a", "b"), None),
        (multi_sz(), None, (), None),
        (dword(5), None, None, 5),
        (qword(2**40), None, None, 2**40),
        (Value(Type.DWORD_BIG_ENDIAN, b"\0\0\1\0"), None, None, 256),
        (binary(b"\1\0\0\0"), None, None, None),
        (Value(Type.DWORD, b"\1\0"), None, None, None),
        # no NUL at the end, an odd byte, half a surrogate
        (Value(Type.SZ, "ab".encode("utf-16-le")), "ab", None, None),
        (Value(Type.SZ, "ab".encode("utf-16-le") + b"c"), "ab", None, None),
        (Value(Type.SZ, b"\0\xd8"), None, None, None),
        (Value(Type.SZ, b""), "", None, None),
    ],
)
def test_readers(value: Value, text: str | None, texts: tuple[str, ...] | None, number: int | None) -> None:
    assert (value.text, value.texts, value.number) == (text, texts, number)
