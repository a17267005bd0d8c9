# SPDX-License-Identifier: GPL-2.0-or-later
"""The password file of -ip and -op."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.errors import DestinationError, SourceError
from v2v_core.passwords import read_password_file


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"secret\n", "secret"),
        (b"secret", "secret"),
        (b"secret\r\n", "secret"),
        (b" with spaces \n", " with spaces "),
        (b"first\nsecond\n", "first"),
        ("geheim\N{SNOWMAN}\n".encode(), "geheim\N{SNOWMAN}"),
        (b"", ""),
    ],
)
def test_the_first_line_is_the_password(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "password"
    file.write_bytes(content)
    assert read_password_file(file, option="-ip", error=SourceError) == expected


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with file.open("wb") as stream:
        stream.write(b"x" * 5000)
    assert len(read_password_file(file, option="-ip", error=SourceError)) == 4096


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DestinationError) as caught:
        read_password_file(tmp_path / "missing", option="-op", error=DestinationError)
    assert caught.value.message == f"the password cannot be read from {tmp_path}/missing: No such file or directory"
    assert caught.value.hint == "check the file given with -op"


def test_the_error_for_a_file_that_is_not_utf8_does_not_hold_the_password(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes(b"secret\xff")
    with pytest.raises(SourceError, match="the file is not UTF-8") as caught:
        read_password_file(file, option="-ip", error=SourceError)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
