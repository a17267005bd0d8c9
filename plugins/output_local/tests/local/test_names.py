# SPDX-License-Identifier: GPL-2.0-or-later
"""The names of the files of a guest, which can have any name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2v_core.output_files import hidden_name
from v2v_output_local.local.names import OutputNames


class TestNames:
    @given(st.text(st.characters(), max_size=400) | st.sampled_from(["..", ".", "-rf", "/", "ä" * 300, "", "\n"]))
    def test_every_name_becomes_one_that_a_file_can_have(self, name: str) -> None:
        names = OutputNames.of_guest(Path("/tmp"), name)
        for path in (names.disk(1), names.disk(27), names.metadata(), hidden_name(names.disk(1))):
            assert path.parent == Path("/tmp")
            assert len(os.fsencode(path.name)) <= 255
            assert not set(path.name) & {"/", "\0", "\n", "\x1b", "\x9b"}
            path.name.encode("utf-8")

    @pytest.mark.parametrize("name", ["a b", "'\"", "日本", "-rf", ".hidden", "..", "x" * 240])
    def test_what_a_file_can_be_called_is_kept(self, name: str) -> None:
        names = OutputNames.of_guest(Path("/tmp"), name)
        assert names.disk(1).name == f"{name}-sda"
        assert names.disk(27).name == f"{name}-sdaa"

    def test_slashes(self) -> None:
        assert OutputNames.of_guest(Path("/tmp"), "a/../b").metadata() == Path("/tmp/a_.._b.xml")

    def test_long_names_that_begin_alike_stay_different(self) -> None:
        one, other = (OutputNames.of_guest(Path("/tmp"), "ä" * 300 + end).stem for end in "12")
        assert one != other
