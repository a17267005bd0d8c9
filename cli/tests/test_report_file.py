# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of ``--report``: its content, and that it is written as a whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_cli import report_file
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import ConversionError, UsageError, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import Change
from v2v_core.pipeline import convert_in_place, run
from v2v_core.settings import RunChoice

Trouble = Callable[[str, str], RunChoice]
MARKED = Change(path="(first sector)", what="marked", why="to be recognised by the test")


def writing(target: Path, heard: list[Event] | None = None) -> Callable[[ConversionDir], None]:
    """Return what the command hands to the run: it writes the report before the cleanup."""
    return lambda directory: report_file.write(directory, target, [heard.append] if heard is not None else [])


def test_report_of_a_whole_run(choice: RunChoice, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    run(choice, at_end=writing(target))
    report = json.loads(target.read_text())
    assert (report["format"], report["version"], report["outcome"]) == ("v2v-report", 1, "finished")
    assert report["guest"]["name"] == "fake guest"
    assert report["system"]["distro"] == "fakeos"
    assert [disk["device"] for disk in report["disks"]] == ["vda", "vdb"]
    assert [(nic["mac"], nic["network"]) for nic in report["nics"]] == [("52:54:00:00:00:01", "lan")]
    marked = dataclasses.asdict(MARKED)
    assert report["changes"] == [{"subject": marked.pop("kind"), **marked}]
    assert report["changes"][0]["subject"] == "file"
    assert [step["step"] for step in report["steps"]] == [step.value for step in list(Step)[:-1]]
    assert all(step["outcome"] == "finished" and step["seconds"] >= 0 for step in report["steps"])
    assert report["failure"] is None
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*")) == []


def test_report_of_a_conversion_in_place(choice: RunChoice, tmp_path: Path, v2v_disk: Path) -> None:
    place = dataclasses.replace(choice.input, options=(), arguments=(str(v2v_disk),), in_place=True)
    convert_in_place(dataclasses.replace(choice, input=place), at_end=writing(tmp_path / "report"))
    assert (tmp_path / "report").read_text().startswith("The guest was converted.\n")


def test_failure_is_reported_with_the_changes_before_it(in_trouble: Trouble, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with pytest.raises(ConversionError):
        run(in_trouble("fail", "v2v_convert"), at_end=writing(target))
    report = json.loads(target.read_text())
    assert report["outcome"] == "failed"
    assert report["failure"]["step"] == "convert"
    assert (report["failure"]["text"], report["failure"]["code"]) == ("asked to fail in v2v_convert", 6)
    assert report["to_do"] == ["do not ask"]
    assert report["system"] is None
    assert report["guest"]["name"] == "fake guest"
    assert [change["what"] for change in report["changes"]] == ["marked"]
    assert [step["outcome"] for step in report["steps"]] == ["finished", "finished", "failed"]


@pytest.mark.parametrize("hook", ["v2v_input_setup", "v2v_output_check", "v2v_copy", "v2v_output_finalize"])
def test_failure_of_any_step_is_reported(in_trouble: Trouble, tmp_path: Path, hook: str) -> None:
    target = tmp_path / "report.json"
    with pytest.raises(V2VError):
        run(in_trouble("fail", hook), at_end=writing(target))
    report = json.loads(target.read_text())
    assert f"v2v_{report['failure']['step']}" == hook
    assert (report["system"] is None) == (hook in {"v2v_input_setup", "v2v_output_check"})


def test_report_that_cannot_be_written_at_the_end_is_a_warning(
    choice: RunChoice, storage: Path, tmp_path: Path
) -> None:
    heard: list[Event] = []
    run(choice, [heard.append], at_end=writing(tmp_path / "gone" / "report", heard))
    assert [event.text for event in heard if event.kind is EventKind.WARNING and "the report cannot" in event.text]
    assert len(list(storage.iterdir())) > 1, "the guest was created"


def test_unwritable_file_is_refused_before_the_run(tmp_path: Path) -> None:
    for name in ("missing/report", ".", "/proc/report", "/dev/stdout", "/dev/full", "/dev/fd/1"):
        with pytest.raises(UsageError, match="--report"):
            report_file.checked(tmp_path / name)
    source = tmp_path / "guest.img"
    source.touch()
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError, match="is the guest to convert"):
        report_file.checked(tmp_path / "link", [str(source)])


def test_file_that_can_be_written_is_resolved_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report_file.checked(Path("report.json")) == tmp_path / "report.json"
    assert report_file.checked(None) is None
    assert report_file.checked(Path("-")) == Path("-")
    assert list(tmp_path.iterdir()) == []


def test_dash_is_stdout(choice: RunChoice, capsys: pytest.CaptureFixture[str]) -> None:
    run(choice, at_end=writing(Path("-")))
    assert "The guest was converted and exists at the destination.\n" in capsys.readouterr().out
