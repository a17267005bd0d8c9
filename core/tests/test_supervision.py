# SPDX-License-Identifier: GPL-2.0-or-later
"""The API for supervisors: steps as processes, events from an offset, the status of a directory, cleanup."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import UsageError
from v2v_core.events import EventKind
from v2v_core.hookspecs import ConvertSettings
from v2v_core.model import StaticAddress
from v2v_core.settings import RunChoice
from v2v_core.supervision import (
    STEPS,
    ConvertChoice,
    CopyChoice,
    InputChoice,
    NicMapping,
    OutputChoice,
    Step,
    StepChoice,
    choice_from_json,
    choice_to_json,
    clean_up,
    new_directory,
    read_events,
    start_step,
    status,
)
from v2v_core.testing.leftovers import marked_processes


def chosen(choice: RunChoice) -> dict[Step, StepChoice]:
    return {
        Step.INPUT_SETUP: choice.input,
        Step.OUTPUT_CHECK: choice.output,
        Step.CONVERT: choice.convert,
        Step.OUTPUT_SETUP: choice.output,
        Step.COPY: choice.copy,
    }


def test_a_whole_conversion_by_steps_as_processes(choice: RunChoice, storage: Path) -> None:
    directory = new_directory()
    for step in STEPS:
        assert step in status(directory).ready
        outcome = start_step(directory, step, chosen(choice).get(step)).wait(60)
        assert outcome.succeeded, outcome
    assert status(directory).done == set(STEPS)
    assert status(directory).copied == {1: (1024 * 1024,) * 2, 2: (1024 * 1024,) * 2}
    assert clean_up(directory) == ()
    assert clean_up(directory) == (), "a second cleanup has nothing to do"
    assert (storage / "new name.xml").exists()
    assert not directory.exists()


def test_output_setup_runs_beside_the_conversion(
    choice: RunChoice, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_directory()
    assert start_step(directory, Step.INPUT_SETUP, choice.input).wait(60).succeeded
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    settings = ConvertSettings(extra={"hang-in": "v2v_convert"})
    convert = start_step(directory, Step.CONVERT, dataclasses.replace(choice.convert, settings=settings))
    wait_for(tmp_path / "hanging")
    assert start_step(directory, Step.OUTPUT_SETUP, choice.output).wait(60).succeeded
    now = status(directory)
    assert now.running == {Step.CONVERT}
    assert Step.OUTPUT_SETUP in now.done
    assert [Path(thing.identity).name for thing in now.owned] == ["new name-disk1", "new name-disk2"]
    refused = start_step(directory, Step.COPY, choice.copy).wait(60)
    assert (refused.code, refused.failure) == (2, None)
    assert "is in use" in refused.stderr
    convert.stop()
    stopped = convert.wait(60)
    assert stopped.code == 130
    assert stopped.failure is not None
    assert clean_up(directory) == ()
    assert not (storage / "new name-disk1").exists()


def test_a_killed_step_is_interrupted_and_can_be_run_again(
    choice: RunChoice, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_directory()
    assert start_step(directory, Step.INPUT_SETUP, choice.input).wait(60).succeeded
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    settings = ConvertSettings(extra={"hang-in": "v2v_convert"})
    hanging = dataclasses.replace(choice.convert, settings=settings)
    convert = start_step(directory, Step.CONVERT, hanging)
    wait_for(tmp_path / "hanging")
    convert.kill()
    outcome = convert.wait(60)
    assert (outcome.code, outcome.failure) == (-9, None)
    now = status(directory)
    assert (now.done, now.running, now.interrupted) == ({Step.INPUT_SETUP}, frozenset(), {Step.CONVERT})
    # the second time it does not hang
    assert start_step(directory, Step.CONVERT, hanging).wait(60).succeeded
    assert status(directory).interrupted == frozenset()
    clean_up(directory)


def test_clean_up_stops_a_step_that_still_runs(
    choice: RunChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = new_directory()
    assert start_step(directory, Step.INPUT_SETUP, choice.input).wait(60).succeeded
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    output = dataclasses.replace(choice.output, options=(("hang-in", "v2v_output_setup"),))
    setup = start_step(directory, Step.OUTPUT_SETUP, output)
    wait_for(tmp_path / "hanging")
    assert clean_up(directory) == ()
    assert setup.wait(10).code != 0
    assert not directory.exists()
    assert processes.find(directory) == ()


def test_failure_says_which_step_and_which_disk(choice: RunChoice) -> None:
    directory = new_directory()
    for step in (Step.INPUT_SETUP, Step.CONVERT, Step.OUTPUT_SETUP):
        assert start_step(directory, step, chosen(choice)[step]).wait(60).succeeded
    outcome = start_step(directory, Step.COPY, CopyChoice(mode="fake-failing")).wait(60)
    assert outcome.code == 7
    assert outcome.failure is not None
    assert (outcome.failure.step, outcome.failure.disk) == (Step.COPY, 1)
    assert Path(outcome.failure.log or "").read_text()
    assert status(directory).failures[Step.COPY] == outcome.failure
    clean_up(directory)


def test_events_are_read_from_an_offset_and_half_a_line_is_left_for_later(
    choice: RunChoice, v2v_directory: ConversionDir
) -> None:
    assert read_events(v2v_directory.path) == ((), 0)
    assert start_step(v2v_directory.path, Step.INPUT_SETUP, choice.input).wait(60).succeeded
    events, offset = read_events(v2v_directory.path)
    assert [event.kind for event in events][:: len(events) - 1] == [EventKind.STEP_STARTED, EventKind.STEP_FINISHED]
    assert read_events(v2v_directory.path, offset) == ((), offset)
    line = events[0].to_json()
    with v2v_directory.events.open("a") as stream:
        stream.write(line[:10])
        stream.flush()
        assert read_events(v2v_directory.path, offset) == ((), offset)
        stream.write(line[10:] + "\n")
    more, _ = read_events(v2v_directory.path, offset)
    assert more == (events[0],)


@pytest.mark.parametrize(
    "given",
    [
        InputChoice(mode="disk", arguments=("a b", "ü\udcff"), options=(("flag", None), ("k", "v")), in_place=True),
        OutputChoice(mode="local", storage="/srv", password_file=Path("/p"), options=(("x", "y"),)),
        ConvertChoice(
            settings=ConvertSettings(
                keys=("all:clevis",),
                static_addresses=(StaticAddress(mac="m", address="192.0.2.7", prefix=24, nameservers=("192.0.2.1",)),),
                extra={"collect": [["/etc", "etc"]]},
                serial_console=False,
            ),
            nics=(NicMapping(kind="network", source="a", target="b"), NicMapping(kind="bridge", target="c", mac="m")),
        ),
        CopyChoice(mode="nbdcopy", parallel=3, connections=2),
    ],
)
def test_choices_come_back_from_json_as_they_were(given: StepChoice) -> None:
    assert choice_from_json(choice_to_json(given), type(given)) == given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "required field missing @ $.mode"),
        ("[]", "not a InputChoice"),
        ('{"mode": 5}', "expected str @ $.mode"),
        ("{", "Expecting property name"),
    ],
)
def test_choice_that_cannot_be_read_is_a_usage_error_of_one_line(
    v2v_short_path: Path, tmp_path: Path, text: str, expected: str
) -> None:
    (tmp_path / "choice").write_text(text)
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "v2v_core.step_command", "input_setup"),
            *("--dir", str(v2v_short_path / "d"), "--choice", str(tmp_path / "choice")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"helper-v2v-step: error: --choice {tmp_path / 'choice'} cannot be used: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (v2v_short_path / "d").exists()


def test_finalize_prints_what_was_created(choice: RunChoice, storage: Path) -> None:
    directory = new_directory()
    for step in STEPS[:-1]:
        assert start_step(directory, step, chosen(choice)[step]).wait(60).succeeded
    done = subprocess.run(
        [sys.executable, "-P", "-m", "v2v_core.step_command", "output_finalize", "--dir", str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["created"][-1] == str(storage / "new name.xml")
    clean_up(directory)


def test_status_of_another_directory_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a conversion directory"):
        status(tmp_path)


def wait_for(path: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear; running: {marked_processes('')}"
        time.sleep(0.02)
