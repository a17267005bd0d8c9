# SPDX-License-Identifier: GPL-2.0-or-later
"""The fence: who may still write after the directory was taken over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from v2v_core.copying import fence
from v2v_core.errors import V2VError


def test_an_epoch_holds_until_the_next_one_begins(tmp_path: Path) -> None:
    first = fence.current(tmp_path)
    assert fence.holds(tmp_path, first)
    second = fence.raise_epoch(tmp_path)
    assert second > first
    assert fence.current(tmp_path) == second
    assert fence.holds(tmp_path, second)
    assert not fence.holds(tmp_path, first)


@pytest.mark.parametrize("text", [b"", b"x", b"-1", b"1" * 5000])
def test_a_damaged_file_lets_no_process_write(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "epoch").write_bytes(text)
    assert not fence.holds(tmp_path, 0)
    with pytest.raises(V2VError, match="damaged"):
        fence.raise_epoch(tmp_path)


def test_a_directory_that_is_gone_lets_no_process_write(tmp_path: Path) -> None:
    place = tmp_path / "copy"
    place.mkdir()
    shutil.rmtree(place)
    assert not fence.holds(place, 0)
