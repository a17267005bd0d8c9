# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion directory: private, durable, and never mistaken for a user's directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir, temporary_path
from v2v_core.discovery import Role
from v2v_core.errors import UsageError, V2VError
from v2v_core.events import Step
from v2v_core.settings import OutputChoice


@pytest.fixture
def directory(v2v_short_path: Path) -> ConversionDir:
    return ConversionDir.open_or_create(v2v_short_path / "d")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_for_this_user_only_whatever_the_umask(v2v_short_path: Path) -> None:
    before = os.umask(0)
    try:
        made = ConversionDir.open_or_create(v2v_short_path / "d")
        made.write_json("choice.json", {"options": [["password", "hunter2"]]})
        made.ledger.begin(Role.OUTPUT, OutputChoice(mode="null"), "x").record("file", "/x")
        made.mark_begun(Step.INPUT_SETUP)
    finally:
        os.umask(before)
    assert mode_of(made.path) == 0o700
    assert {mode_of(path) for path in made.path.iterdir() if path.is_dir()} == {0o700}
    assert mode_of(made.path / "choice.json") == 0o600
    assert mode_of(made.path / "ledger.jsonl") == 0o600
    assert mode_of(made.path / "state.jsonl") == 0o600


def test_empty_directory_is_taken_and_closed_to_others(v2v_short_path: Path) -> None:
    (v2v_short_path / "d").mkdir(mode=0o755)
    assert mode_of(ConversionDir.open_or_create(v2v_short_path / "d").path) == 0o700


def test_it_is_opened_again(directory: ConversionDir) -> None:
    directory.write_json("choice.json", {"mode": "null"})
    assert ConversionDir.open_or_create(directory.path) == directory
    assert ConversionDir.existing(directory.path).read_json("choice.json") == {"mode": "null"}


@pytest.mark.parametrize("name", ["notes.txt", "input/thesis.odt", "log/messages", "tmp/x", "incoming"])
def test_directory_with_files_of_the_user_is_refused_and_left_alone(v2v_short_path: Path, name: str) -> None:
    path = v2v_short_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text("precious")
    with pytest.raises(UsageError, match="is not a conversion directory: it holds"):
        ConversionDir.open_or_create(v2v_short_path / "mine")
    assert [p.name for p in (v2v_short_path / "mine").iterdir()] == [name.partition("/")[0]]


def test_endpoints_and_metadata_of_another_supervisor_are_taken(v2v_short_path: Path) -> None:
    for name in ("in1", "in2", "metadata.in"):
        (v2v_short_path / name).touch()
    (v2v_short_path / "overlay").mkdir()
    assert ConversionDir.open_or_create(v2v_short_path).socket("in", 2) == v2v_short_path / "in2"


def test_file_in_its_place_is_a_usage_error(v2v_short_path: Path) -> None:
    (v2v_short_path / "d").touch()
    with pytest.raises(UsageError, match="cannot use"):
        ConversionDir.open_or_create(v2v_short_path / "d")


def test_directory_that_no_input_step_made_is_a_usage_error(v2v_short_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a conversion directory"):
        ConversionDir.existing(v2v_short_path)


def test_path_that_is_too_long_for_sockets_is_refused_before_it_is_made(v2v_short_path: Path) -> None:
    path = v2v_short_path / ("ä" * 40)
    with pytest.raises(UsageError, match="too long") as refused:
        ConversionDir.open_or_create(path)
    assert "TMPDIR" in (refused.value.hint or "")
    assert not path.exists()


def test_name_is_the_same_through_a_symlink(v2v_short_path: Path) -> None:
    (v2v_short_path / "real").mkdir()
    (v2v_short_path / "link").symlink_to(v2v_short_path / "real")
    assert ConversionDir.open_or_create(v2v_short_path / "link").path == v2v_short_path / "real"


def test_temporary_directory_is_removed_with_its_large_files_elsewhere(
    v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (v2v_short_path / "small").mkdir()
    (v2v_short_path / "large").mkdir()
    monkeypatch.setenv("TMPDIR", str(v2v_short_path / "small"))
    monkeypatch.setenv("VIRT_V2V_TMPDIR", str(v2v_short_path / "large"))
    made = ConversionDir.temporary(temporary_path())
    (made.overlay / "disk1.qcow2").write_bytes(b"x")
    (large,) = (v2v_short_path / "large").iterdir()
    assert (large / "disk1.qcow2").read_bytes() == b"x"
    assert mode_of(large) == 0o700
    made.remove()
    assert list((v2v_short_path / "large").iterdir()) == []
    assert list((v2v_short_path / "small").iterdir()) == []


def test_large_place_that_does_not_exist_leaves_nothing(v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(v2v_short_path))
    monkeypatch.setenv("VIRT_V2V_TMPDIR", "/nonexistent/large")
    with pytest.raises(V2VError, match="for temporary files in") as refused:
        ConversionDir.temporary(temporary_path())
    assert "VIRT_V2V_TMPDIR" in (refused.value.hint or "")
    assert list(v2v_short_path.iterdir()) == []


def test_directory_that_another_process_made_first_is_not_used(v2v_short_path: Path) -> None:
    (v2v_short_path / "v2v.trap").mkdir()
    with pytest.raises(V2VError, match="File exists"):
        ConversionDir.temporary(v2v_short_path / "v2v.trap")


def test_removal_does_not_follow_an_overlay_link_to_a_foreign_directory(
    directory: ConversionDir, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    directory.overlay.rmdir()
    directory.overlay.symlink_to(precious)
    directory.remove()
    assert (precious / "file").exists()
    assert not directory.path.exists()


@pytest.mark.parametrize(
    ("text", "expected"), [(None, "is missing"), ("{", "is damaged"), ("[1]", "not a JSON object")]
)
def test_missing_or_damaged_file_is_named(directory: ConversionDir, text: str | None, expected: str) -> None:
    if text is not None:
        (directory.path / "output.json").write_text(text)
    with pytest.raises(V2VError, match=rf"output\.json.* {expected}"):
        directory.read_json("output.json")


def test_write_that_fails_leaves_what_was_there(directory: ConversionDir) -> None:
    directory.write_json("output.json", {"state": 1})
    with pytest.raises(TypeError):
        directory.write_json("output.json", {"state": object()})
    assert directory.read_json("output.json") == {"state": 1}


def test_steps_that_are_done_are_remembered(directory: ConversionDir) -> None:
    assert directory.done() == frozenset()
    directory.mark_done(Step.INPUT_SETUP)
    directory.mark_done(Step.OUTPUT_CHECK)
    directory.mark_done(Step.INPUT_SETUP)
    assert ConversionDir.existing(directory.path).done() == {Step.INPUT_SETUP, Step.OUTPUT_CHECK}
