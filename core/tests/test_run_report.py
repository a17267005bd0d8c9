# SPDX-License-Identifier: GPL-2.0-or-later
"""What a run did, told from what it left: of runs that went well, failed, were interrupted, or came from elsewhere."""

from __future__ import annotations

import dataclasses
import json
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from v2v_cli import report_file
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import ConversionError, Obstacle, UsageError, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import Change
from v2v_core.pipeline import convert_in_place, run
from v2v_core.reporting import running
from v2v_core.run_report import Outcome, read_report, step_runs
from v2v_core.settings import ConvertChoice, RunChoice
from v2v_core.steps import convert, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.convert_apart import convert_apart
from v2v_core.testing.fixtures import Install

Trouble = Callable[[str, str], RunChoice]
MARKED = Change(path="(first sector)", what="marked", why="to be recognised by the test")


def started(step: Step, time: float) -> Event:
    return Event(kind=EventKind.STEP_STARTED, step=step, time=time)


def ended(step: Step, time: float, *, failed: bool = False) -> Event:
    return Event(kind=EventKind.STEP_FAILED if failed else EventKind.STEP_FINISHED, step=step, time=time)


def warned(step: Step, text: str) -> Event:
    return Event(kind=EventKind.WARNING, step=step, text=text)


def write_events(place: Path, events: Sequence[Event]) -> None:
    (place / "events.jsonl").write_text("".join(event.to_json() + "\n" for event in events))


def test_report_of_a_whole_run(choice: RunChoice, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    run(dataclasses.replace(choice, report=target))
    report = json.loads(target.read_text())
    assert (report["format"], report["version"], report["outcome"]) == ("v2v-report", 1, "finished")
    assert report["guest"]["name"] == "fake guest"
    assert report["system"]["distro"] == "fakeos"
    assert [disk["device"] for disk in report["disks"]] == ["vda", "vdb"]
    assert [(nic["mac"], nic["network"]) for nic in report["nics"]] == [("52:54:00:00:00:01", "lan")]
    assert report["changes"] == [{"subject": "package", **dataclasses.asdict(MARKED)}]
    assert [step["step"] for step in report["steps"]] == [step.value for step in list(Step)[:-1]]
    assert all(step["outcome"] == "finished" and step["seconds"] >= 0 for step in report["steps"])
    assert report["failure"] is None
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".*")) == []


def test_report_of_a_conversion_in_place(choice: RunChoice, tmp_path: Path, v2v_disk: Path) -> None:
    place = dataclasses.replace(choice.input, options=(), arguments=(str(v2v_disk),), in_place=True)
    convert_in_place(dataclasses.replace(choice, input=place, report=tmp_path / "report"))
    assert (tmp_path / "report").read_text().startswith("The guest was converted.\n")


def test_failure_after_changes_is_told_with_them(in_trouble: Trouble, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    with pytest.raises(ConversionError):
        run(dataclasses.replace(in_trouble("fail", "v2v_convert"), report=target))
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
        run(dataclasses.replace(in_trouble("fail", hook), report=target))
    report = json.loads(target.read_text())
    assert f"v2v_{report['failure']['step']}" == hook
    assert (report["system"] is None) == (hook in {"v2v_input_setup", "v2v_output_check"})


def test_report_that_cannot_be_written_at_the_end_is_a_warning(
    choice: RunChoice, storage: Path, tmp_path: Path
) -> None:
    heard: list[Event] = []
    run(dataclasses.replace(choice, report=tmp_path / "gone" / "report"), [heard.append])
    assert [event.text for event in heard if event.kind is EventKind.WARNING and "the report cannot" in event.text]
    assert len(list(storage.iterdir())) > 1, "the guest was created"


_BLOCKED = {
    "t_blocked": "from v2v_core.api import *\n"
    "class Blocked:\n @hookimpl\n def v2v_convert(self, request):\n"
    "  raise ConversionError.for_obstacles([Obstacle(reason='no kernel\\x1b[2J', remedy='install one'),"
    " Obstacle(reason='no space', remedy='make some')])\n"
}


def test_obstacles_come_one_by_one_out_of_the_other_process(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install
) -> None:
    v2v_install("v2v-convert-t", {"v2v.convert": {"t-blocked": "t_blocked:Blocked"}}, _BLOCKED)
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(ConversionError) as blocked:
        convert_apart(v2v_directory, ConvertChoice(mode="t-blocked"))
    expected = (
        Obstacle(reason="no kernel [2J", remedy="install one"),
        Obstacle(reason="no space", remedy="make some"),
    )
    assert blocked.value.obstacles == expected
    assert blocked.value.message == ("the guest cannot be converted for 2 reasons: (1) no kernel [2J; (2) no space")
    assert blocked.value.headline == "the guest cannot be converted for 2 reasons"
    report = read_report(v2v_directory.path)
    assert report.failure is not None
    assert report.failure.obstacles == expected
    assert report.to_do == ("install one", "make some")


def test_steps_of_other_supervisors(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, choice.convert)
    assert read_report(v2v_directory.path).outcome is Outcome.CONVERTED
    # as the helpers do it, the output is checked after the conversion
    output_check.run(v2v_directory, choice.output)
    output_setup.run(v2v_directory, choice.output)
    copy.run(v2v_directory, choice.copy)
    output_finalize.run(v2v_directory)
    report = read_report(v2v_directory.path)
    assert report.outcome is Outcome.FINISHED
    assert report.changes == (MARKED,)
    assert Step.CONVERT in {step.step for step in report.steps}


def test_what_a_step_left_does_not_count_when_it_runs_again(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, choice.convert)
    with pytest.raises(ConversionError), running(v2v_directory, Step.CONVERT, []) as report:
        report.changed("/etc/fstab", "half", "it failed")
        raise ConversionError("no")
    found = read_report(v2v_directory.path)
    assert (found.outcome, found.target) == (Outcome.FAILED, None)
    assert found.changes == (Change(path="/etc/fstab", what="half", why="it failed"),)


def test_steps_are_sorted_out() -> None:
    runs = step_runs(
        [
            started(Step.INPUT_SETUP, 1.0),
            ended(Step.INPUT_SETUP, 2.5),
            started(Step.CONVERT, 3.0),
            warned(Step.CONVERT, "old"),
            ended(Step.CONVERT, 4.0, failed=True),
            started(Step.COPY, 4.0),
            started(Step.CONVERT, 5.0),
            warned(Step.CONVERT, "new"),
        ]
    )
    assert [(run.step, run.seconds) for run in runs] == [(Step.INPUT_SETUP, 1.5), (Step.CONVERT, None)]
    assert [event.text for run in runs for event in run.warnings] == ["new"]


def test_interrupted_run_did_not_end(tmp_path: Path) -> None:
    write_events(tmp_path, [started(Step.CONVERT, 1.0)])
    report = read_report(tmp_path)
    assert (report.outcome, report.unfinished, report.guest) == (Outcome.UNFINISHED, Step.CONVERT, None)


def test_damaged_lines_are_left_out(tmp_path: Path) -> None:
    write_events(tmp_path, [started(Step.COPY, 1.0), ended(Step.COPY, 2.0)])
    with (tmp_path / "events.jsonl").open("ab") as stream:
        stream.write(
            b'[]\n\xff\n{"kind": "later", "step": "copy"}\n{"kind": "warning", "step": "copy", "obstacles": 1}\n'
        )
        stream.write(b'{"kind": "warn')
    assert [run.seconds for run in read_report(tmp_path).steps] == [1.0]


def test_place_without_events_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(V2VError, match=r"events\.jsonl cannot be read"):
        read_report(tmp_path)


def test_file_is_found_unwritable_before_anything_begins(tmp_path: Path) -> None:
    for name in ("missing/report", ".", "/proc/report", "/dev/stdout", "/dev/full", "/dev/fd/1"):
        with pytest.raises(UsageError, match="--report"):
            report_file.checked(tmp_path / name)
    source = tmp_path / "guest.img"
    source.touch()
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(UsageError, match="is what is to be converted"):
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
    run(dataclasses.replace(choice, report=Path("-")))
    assert "The guest was converted and exists at the destination.\n" in capsys.readouterr().out
