# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of runs that finished, failed, were interrupted, or were made by another supervisor."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.hashes import HashFile
from v2v_core.errors import ConversionError, Obstacle, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import CopyResult
from v2v_core.model import Change, ChangeKind, Fact, Verdict
from v2v_core.pipeline import convert_in_place, run
from v2v_core.records import to_json
from v2v_core.reporting import running
from v2v_core.run_report import Outcome, RunReport, read_report, step_runs
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


def reported(run_it: Callable[..., object], choice: RunChoice) -> RunReport:
    """Run a conversion, and return its report as it is before the cleanup."""
    reports: list[RunReport] = []
    with contextlib.suppress(V2VError):
        run_it(choice, at_end=lambda directory: reports.append(read_report(directory.path)))
    (report,) = reports
    return report


def test_report_of_a_whole_run(choice: RunChoice) -> None:
    report = reported(run, choice)
    assert (report.outcome, report.failure, report.changes) == (Outcome.FINISHED, None, (MARKED,))
    assert report.guest is not None
    assert report.guest.name == "fake guest"
    assert report.target is not None
    assert [disk.device for disk in report.target.disks] == ["vda", "vdb"]
    assert [Path(name).name for name in report.created] == ["new name-disk1", "new name-disk2", "new name.xml"]
    assert [step.step for step in report.steps] == list(Step)[:-1]
    assert all(step.seconds is not None for step in report.steps)


def test_report_of_a_conversion_in_place(choice: RunChoice, v2v_disk: Path) -> None:
    place = dataclasses.replace(choice.input, options=(), arguments=(str(v2v_disk),), in_place=True)
    assert reported(convert_in_place, dataclasses.replace(choice, input=place)).outcome is Outcome.CONVERTED


def test_failure_is_reported_with_the_changes_before_it(in_trouble: Trouble) -> None:
    report = reported(run, in_trouble("fail", "v2v_convert"))
    assert report.outcome is Outcome.FAILED
    assert report.failure is not None
    assert (report.failure.step, report.failure.text, report.failure.code) == (
        Step.CONVERT,
        "asked to fail in v2v_convert",
        6,
    )
    assert (report.to_do, report.target, report.changes) == (("do not ask",), None, (MARKED,))
    assert report.guest is not None


@pytest.mark.parametrize("hook", ["v2v_input_setup", "v2v_output_check", "v2v_copy", "v2v_output_finalize"])
def test_failure_of_any_step_is_reported(in_trouble: Trouble, hook: str) -> None:
    report = reported(run, in_trouble("fail", hook))
    assert report.failure is not None
    assert f"v2v_{report.failure.step}" == hook
    assert (report.target is None) == (hook in {"v2v_input_setup", "v2v_output_check"})


_BLOCKED = {
    "t_blocked": "from v2v_core.api import *\n"
    "class Blocked:\n @hookimpl\n def v2v_convert(self, request):\n"
    "  raise ConversionError.for_obstacles([Obstacle(reason='no kernel\\x1b[2J', remedy='install one'),"
    " Obstacle(reason='no space', remedy='make some')])\n"
}


def test_obstacles_pass_one_by_one_from_the_other_process(
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
    # like the helper commands, check the output after the conversion
    output_check.run(v2v_directory, choice.output)
    output_setup.run(v2v_directory, choice.output)
    copy.run(v2v_directory, choice.copy)
    output_finalize.run(v2v_directory)
    report = read_report(v2v_directory.path)
    assert report.outcome is Outcome.FINISHED
    assert report.changes == (MARKED,)
    assert Step.CONVERT in {step.step for step in report.steps}


def test_result_of_a_step_does_not_count_once_it_runs_again(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, choice.convert)
    with pytest.raises(ConversionError), running(v2v_directory, Step.CONVERT, []) as report:
        report.changed("/etc/fstab", "half", "it failed")
        report.changed(r"SYSTEM\Select", "half", "it failed", kind=ChangeKind.REGISTRY, value="")
        report.examined(Fact(name="it boots", verdict=Verdict.FAILED, detail="no loader"))
        raise ConversionError("no")
    result = read_report(v2v_directory.path)
    assert (result.outcome, result.target) == (Outcome.FAILED, None)
    assert result.changes == (
        Change(path="/etc/fstab", what="half", why="it failed"),
        Change(path=r"SYSTEM\Select", what="half", why="it failed", kind=ChangeKind.REGISTRY, value=""),
    )
    assert result.facts == (Fact(name="it boots", verdict=Verdict.FAILED, detail="no loader"),)


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


def test_directory_without_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(V2VError, match=r"events\.jsonl cannot be read"):
        read_report(tmp_path)


MIB = 1024**2


def copied(place: Path, *results: CopyResult, finished: bool = True) -> None:
    """Leave what the copy step leaves."""
    events = [started(Step.COPY, 1.0)]
    if finished:
        events.append(ended(Step.COPY, 2.0))
    write_events(place, events)
    (place / "copy").mkdir()
    (place / "copy" / "results.json").write_text(json.dumps({"results": to_json(results)}))


def take_hashes(place: Path, index: int, size: int, *data: tuple[int, bytes]) -> str:
    """Leave the hashes of a disk, and return their root."""
    hashes = HashFile(place / "copy" / f"hashes{index}", size)
    for offset, content in data:
        hashes.take(offset, memoryview(content))
    hashes.flush()
    root = hashes.root()
    hashes.close()
    return root


def test_copied_disks_are_reported_with_their_hashes(tmp_path: Path) -> None:
    result = CopyResult(index=1, size=20 * MIB, copied=5 * MIB, zeroed=MIB, digest="0" * 64, verified=True)
    by_reference = CopyResult(index=2, size=MIB, copied=0, zeroed=0)
    copied(tmp_path, result, by_reference)
    root = take_hashes(tmp_path, 1, 20 * MIB, (0, b"a" * MIB), (9 * MIB, b"b" * MIB))
    first, second = read_report(tmp_path).copied
    assert (first.index, first.size, first.copied, first.zeroed, first.verified) == (1, 20 * MIB, 5 * MIB, MIB, True)
    assert first.hashes is not None
    assert (first.hashes.algorithm, first.hashes.block, first.hashes.group) == ("blake3-64k", 64 * 1024, 4 * MIB)
    assert first.hashes.root == root
    assert list(first.hashes.groups) == [0, 2]
    assert all(len(bytes.fromhex(digest)) == 32 for digest in first.hashes.groups.values())
    assert (second.copied, second.hashes) == (0, None)


def test_a_copy_that_does_not_count_is_not_reported(tmp_path: Path) -> None:
    copied(tmp_path, CopyResult(index=1, size=MIB, copied=MIB), finished=False)
    assert read_report(tmp_path).copied == ()


@pytest.mark.parametrize("text", ["", "[]", '{"results": [{}]}', '{"results": 5}'])
def test_damaged_results_are_left_out(tmp_path: Path, text: str) -> None:
    copied(tmp_path)
    (tmp_path / "copy" / "results.json").write_text(text)
    assert read_report(tmp_path).copied == ()


def test_hashes_that_are_gone_are_left_out(tmp_path: Path) -> None:
    copied(tmp_path, CopyResult(index=1, size=MIB, copied=MIB, digest="0" * 64))
    (disk,) = read_report(tmp_path).copied
    assert disk.hashes is None
    assert not (tmp_path / "copy" / "hashes1").exists()


def test_warnings_of_the_copy_of_the_base_belong_to_the_copy() -> None:
    """It runs beside the conversion, before the step begins."""
    events = [
        started(Step.CONVERT, 1.0),
        warned(Step.COPY, "disk 1: a read was repeated"),
        ended(Step.CONVERT, 2.0),
        started(Step.COPY, 3.0),
        warned(Step.COPY, "disk 1: another one"),
        ended(Step.COPY, 4.0),
    ]
    _convert, copy_run = step_runs(events)
    assert [event.text for event in copy_run.warnings] == ["disk 1: a read was repeated", "disk 1: another one"]
    assert copy_run.seconds == 1.0
    (again,) = step_runs([*events, started(Step.COPY, 5.0)])[1:]
    assert again.warnings == []
