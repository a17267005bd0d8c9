# SPDX-License-Identifier: GPL-2.0-or-later
"""The logs of failed runs: each run has its own, and they are kept by age and size, not by count."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from v2v_core import kept_logs
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import ConversionError, Interrupted, UsageError, V2VError
from v2v_core.events import Step

DAY = 24 * 60 * 60


@pytest.fixture(autouse=True)
def _state(v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(v2v_short_path / "state"))


def failed_run(path: Path, text: str) -> ConversionDir:
    directory = ConversionDir.open_or_create(path)
    directory.log(Step.CONVERT).write_text(text)
    directory.events.write_text("{}\n")
    return directory


def kept_runs() -> list[Path]:
    return sorted(kept_logs.place().iterdir())


def test_two_runs_whose_directories_have_the_same_name_are_not_mixed(v2v_short_path: Path) -> None:
    errors = [ConversionError("a"), ConversionError("b")]
    for place, error in zip(("x", "y"), errors, strict=True):
        (v2v_short_path / place).mkdir()
        kept_logs.keep(failed_run(v2v_short_path / place / "run", place), error)
    assert sorted((kept / "convert.log").read_text() for kept in kept_runs()) == ["x", "y"]
    assert sorted(note for error in errors for note in error.__notes__) == sorted(
        f"logs: {kept}" for kept in kept_runs()
    )


def test_the_same_run_is_kept_once_and_brought_up_to_date(v2v_short_path: Path) -> None:
    directory = failed_run(v2v_short_path / "run", "first")
    kept_logs.keep(directory, None)
    directory.log(Step.CLEANUP).write_text("the log of the cleanup")
    kept_logs.keep(directory, None)
    (kept,) = kept_runs()
    assert (kept / "cleanup.log").read_text() == "the log of the cleanup"
    assert (kept.stat().st_mode & 0o777, (kept / "events.jsonl").exists()) == (0o700, True)


def test_interrupted_runs_are_kept_and_wrong_options_are_not(v2v_short_path: Path) -> None:
    kept_logs.keep(failed_run(v2v_short_path / "a", ""), UsageError("-oz"))
    assert not kept_logs.place().exists()
    kept_logs.keep(failed_run(v2v_short_path / "b", ""), Interrupted("stopped"))
    assert len(kept_runs()) == 1


def test_a_fleet_does_not_lose_its_first_failure(v2v_short_path: Path) -> None:
    for number in range(60):
        kept_logs.keep(failed_run(v2v_short_path / f"run{number}", str(number)), ConversionError("x"))
    assert sorted(int((kept / "convert.log").read_text()) for kept in kept_runs()) == list(range(60))


def test_old_logs_are_deleted_and_the_oldest_if_all_are_too_large(
    v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    for name, days in (("ancient", 91), ("old", 40), ("older", 50), ("yesterday", 2), ("today", 0.5)):
        kept_logs.keep(failed_run(v2v_short_path / name, "x" * 1000), ConversionError("x"))
        (kept,) = (path for path in kept_runs() if path.name.endswith(f"-{name}"))
        os.utime(kept, (now - days * DAY,) * 2)
    names = {path.name.rpartition("-")[2] for path in kept_runs()}
    assert names == {"old", "older", "yesterday", "today"}
    monkeypatch.setattr(kept_logs, "_MOST", 3500)
    kept_logs.keep(failed_run(v2v_short_path / "new", "x" * 1000), ConversionError("x"))
    names = {path.name.rpartition("-")[2] for path in kept_runs()}
    assert names == {"yesterday", "today", "new"}
    monkeypatch.setattr(kept_logs, "_MOST", 10)
    kept_logs.keep(failed_run(v2v_short_path / "newer", "x" * 1000), ConversionError("x"))
    names = {path.name.rpartition("-")[2] for path in kept_runs()}
    assert names == {"today", "new", "newer"}, "logs of the last day are kept, however large"


def test_logs_that_cannot_be_kept_are_told(v2v_directory: ConversionDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """spacetelescope/jwql#751: the internal storage is full, and with it the place of the logs."""
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/full")
    error = V2VError("the source is gone")
    assert kept_logs.keep(v2v_directory, error) is None
    assert error.__notes__ == ["the logs could not be kept in /dev/full/v2v/logs: Not a directory"]
