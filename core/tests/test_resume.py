# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs that failed or were killed, whose directory the user has named: they are kept, and go on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2v_core import processes, run_record
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import fence
from v2v_core.errors import ConversionError, CopyError, DestinationError, SourceError, UsageError, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import ConvertSettings
from v2v_core.pipeline import resume, run
from v2v_core.resume import Again
from v2v_core.settings import CopyChoice, RunChoice
from v2v_core.steps import copy
from v2v_core.steps.alone import clean_up_alone
from v2v_core.testing import MARKER
from v2v_core.testing.fake_plugins import read_events

MB = 1024 * 1024
SIZE = 64 * MB

_SUPERVISOR = """
import faulthandler, pickle, sys
faulthandler.dump_traceback_later(50, exit=True)
from v2v_core.errors import V2VError
from v2v_core.pipeline import run
try:
    run(pickle.load(open(sys.argv[1], "rb")))
except V2VError as err:
    print(err, *getattr(err, "__notes__", ()), file=sys.stderr)
    sys.exit(err.exit_code)
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return a raw disk full of data that nothing can compress or share."""
    path = tmp_path / "source"
    path.write_bytes(os.urandom(MB) * (SIZE // MB))
    return path


@pytest.fixture
def kept(choice: RunChoice, image: Path, v2v_short_path: Path) -> RunChoice:
    """Return a run of the user's own directory, with core's own copy of a local image."""
    return dataclasses.replace(
        choice,
        directory=v2v_short_path / "d",
        input=dataclasses.replace(choice.input, arguments=(str(image),), options=()),
        copy=CopyChoice(overlap=False),
    )


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[RunChoice], subprocess.Popen[str]]]:
    """Return a function that starts a run in a process of its own."""
    with contextlib.ExitStack() as stack:

        def start(choice: RunChoice) -> subprocess.Popen[str]:
            (tmp_path / "choice").write_bytes(pickle.dumps(choice))
            argv = [sys.executable, "-c", _SUPERVISOR, str(tmp_path / "choice")]
            process = stack.enter_context(subprocess.Popen(argv, stderr=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield start


def converted(image: Path) -> bytes:
    return MARKER + image.read_bytes()[len(MARKER) :]


def assert_arrived(storage: Path, image: Path) -> None:
    assert (storage / "new name-disk1").read_bytes() == converted(image)
    assert {path.name for path in storage.iterdir()} == {"neighbour", "new name-disk1", "new name.xml"}


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def ended(place: Path) -> bool:
    """Return whether all processes of a run have ended, the warden too."""
    return not processes.find(place)


def troubled(choice: RunChoice, kind: str, hook: str) -> RunChoice:
    if hook == "v2v_convert":
        settings = ConvertSettings(extra={f"{kind}-in": hook})
        return dataclasses.replace(choice, convert=dataclasses.replace(choice.convert, settings=settings))
    return dataclasses.replace(choice, output=dataclasses.replace(choice.output, options=((f"{kind}-in", hook),)))


def cured(place: Path) -> None:
    """Let the plugins of a kept run do without the trouble that the test asked for."""
    record = json.loads((place / "run.json").read_text())
    record["choice"]["convert"].pop("settings", None)
    record["choice"]["output"].pop("options", None)
    (place / "run.json").write_text(json.dumps(record))


def test_a_directory_that_the_user_named_is_kept_and_the_error_says_how_to_go_on(
    kept: RunChoice, storage: Path, image: Path
) -> None:
    place = kept.directory
    assert place is not None
    with pytest.raises(ConversionError) as failed:
        run(troubled(kept, "fail", "v2v_convert"))
    (note,) = (note for note in failed.value.__notes__ if "is kept" in note)
    assert f"'v2v resume {place}'" in note
    assert f"'helper-v2v-cleanup --dir {place}'" in note
    assert ended(place), "only files are kept"
    with pytest.raises(UsageError, match="did not end"):
        run(kept)
    cured(place)
    created = resume(place, Again()).created
    assert created == (str(storage / "new name-disk1"), str(storage / "new name.xml"))
    assert_arrived(storage, image)
    assert not place.exists()


def test_a_kept_directory_is_removed_by_the_cleanup_with_what_it_has_created(kept: RunChoice, storage: Path) -> None:
    assert kept.directory is not None
    with pytest.raises(DestinationError):
        run(troubled(kept, "fail", "v2v_output_finalize"))
    assert (storage / "new name-disk1").exists()
    assert clean_up_alone(kept.directory) == ()
    assert not kept.directory.exists()
    assert [path.name for path in storage.iterdir()] == ["neighbour"]


def test_nothing_is_kept_of_what_makes_no_sense(kept: RunChoice) -> None:
    assert kept.directory is not None
    with pytest.raises(UsageError):
        run(dataclasses.replace(kept, output=dataclasses.replace(kept.output, storage=None)))
    assert not kept.directory.exists()


@pytest.mark.parametrize("hook", ["v2v_output_check", "v2v_convert", "v2v_output_setup", "v2v_output_finalize"])
def test_a_run_that_was_killed_goes_on(
    kept: RunChoice,
    storage: Path,
    image: Path,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
) -> None:
    place = kept.directory
    assert place is not None
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    first = supervise(troubled(kept, "hang", hook))
    wait_until((tmp_path / "hanging").exists)
    first.kill()
    first.wait()
    # at once: the warden may still be at work
    cured(place)
    resume(place, Again())
    assert_arrived(storage, image)
    assert not place.exists()
    wait_until(lambda: ended(place))


@pytest.mark.parametrize("percent", [20, 60, 95])
def test_a_killed_copy_goes_on_where_it_was(
    kept: RunChoice,
    storage: Path,
    image: Path,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    percent: int,
) -> None:
    place = kept.directory
    assert place is not None
    # 20 MB/s
    first = supervise(dataclasses.replace(kept, copy=dataclasses.replace(kept.copy, bandwidth=160_000_000)))

    def far_enough() -> bool:
        assert first.poll() is None, first.communicate()[1]
        events = place / "events.jsonl"
        lines = read_events(events) if events.exists() else []
        return any(e.kind is EventKind.PROGRESS and (e.done or 0) * 100 >= percent * (e.total or 1) for e in lines)

    wait_until(far_enough)
    first.kill()
    first.wait()
    results: list[tuple[int, int]] = []
    heard: list[Event] = []

    def at_end(directory: ConversionDir) -> None:
        for result in directory.read_json("copy/results.json")["results"]:
            results.append((result["index"], result["copied"]))

    resume(place, Again(copying={"bandwidth": None}), [heard.append], at_end=at_end)
    assert_arrived(storage, image)
    begun = [event.step for event in heard if event.kind is EventKind.STEP_STARTED]
    assert begun == [Step.COPY, Step.OUTPUT_FINALIZE], "the guest is not converted twice"
    ((_, copied),) = results
    in_flight = 0.4 * SIZE
    assert copied <= SIZE * (100 - percent) / 100 + in_flight
    assert not place.exists()


def test_after_a_power_failure_the_guest_is_converted_again(kept: RunChoice, storage: Path, image: Path) -> None:
    place = kept.directory
    assert place is not None
    with pytest.raises(CopyError):
        run(dataclasses.replace(kept, copy=CopyChoice(mode="fake-failing")))
    record = json.loads((place / "run.json").read_text())
    record["boot"] = "another one"
    (place / "run.json").write_text(json.dumps(record))
    heard: list[Event] = []
    resume(place, Again(copying={"mode": None}), [heard.append])
    assert Step.OUTPUT_SETUP not in [event.step for event in heard if event.kind is EventKind.STEP_STARTED]
    assert Step.CONVERT in [event.step for event in heard if event.kind is EventKind.STEP_STARTED]
    assert_arrived(storage, image)


def test_a_source_that_has_changed_is_refused(kept: RunChoice, storage: Path, image: Path) -> None:
    place = kept.directory
    assert place is not None
    with pytest.raises(ConversionError):
        run(troubled(kept, "fail", "v2v_convert"))
    cured(place)
    with image.open("r+b") as stream:
        stream.seek(SIZE // 2)
        stream.write(b"changed")
    with pytest.raises(SourceError, match=r"disk 1 .* has changed") as refused:
        resume(place, Again())
    assert "helper-v2v-cleanup" in (refused.value.hint or "")
    assert place.exists()
    assert clean_up_alone(place) == ()
    assert [path.name for path in storage.iterdir()] == ["neighbour"]


def test_a_frozen_run_is_refused_first_and_then_taken_over(
    kept: RunChoice,
    storage: Path,
    image: Path,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = kept.directory
    assert place is not None
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    first = supervise(troubled(kept, "hang", "v2v_convert"))
    wait_until((tmp_path / "hanging").exists)
    first.send_signal(signal.SIGSTOP)
    with pytest.raises(UsageError, match=f"is in use: process {first.pid} ") as refused:
        resume(place, Again())
    assert "--take-over" in (refused.value.hint or "")
    assert first.poll() is None, "it was left alone"
    cured(place)
    before = fence.current(place / "copy")
    heard: list[int] = []
    resume(
        place, Again(), take_over=True, at_end=lambda directory: heard.append(fence.current(directory.path / "copy"))
    )
    assert first.wait(timeout=10) == -signal.SIGKILL
    assert heard[0] > before, "a copy that was frozen elsewhere writes nothing more"
    assert_arrived(storage, image)
    wait_until(lambda: ended(place))


def test_secrets_are_not_written_down_and_must_be_given_again(kept: RunChoice) -> None:
    place = kept.directory
    assert place is not None
    settings = ConvertSettings(extra={"fail-in": "v2v_convert"}, keys=("all:key:hush-hush",))
    with pytest.raises(ConversionError):
        run(dataclasses.replace(kept, convert=dataclasses.replace(kept.convert, settings=settings)))
    assert "hush-hush" not in (place / "run.json").read_text()
    with pytest.raises(UsageError, match="--key must be given again"):
        resume(place, Again())
    cured(place)
    resume(place, Again(keys=("all:key:hush-hush",)))
    assert not place.exists()


def test_a_directory_without_an_interrupted_run_cannot_be_resumed(v2v_directory: ConversionDir) -> None:
    with pytest.raises(UsageError, match="no conversion that can be resumed"):
        resume(v2v_directory.path, Again())
    assert not run_record.exists(v2v_directory.path)


def test_a_base_that_cannot_be_copied_stops_the_conversion(kept: RunChoice, monkeypatch: pytest.MonkeyPatch) -> None:
    """The converter hangs; the destination is gone."""

    def fail(*_args: object, **_more: object) -> None:
        raise CopyError("disk 1: the target is full", disk=1)

    monkeypatch.setattr(copy, "_copy_base", fail)
    overlapping = dataclasses.replace(troubled(kept, "hang", "v2v_convert"), copy=CopyChoice(overlap=True))
    started = time.monotonic()
    heard: list[Event] = []
    with pytest.raises(V2VError, match="the target is full"):
        run(overlapping, [heard.append])
    assert time.monotonic() - started < 30
    assert not [e for e in heard if e.kind is EventKind.STEP_FAILED and e.step is Step.CONVERT]


def test_copying_while_converting_gives_the_same_guest(kept: RunChoice, storage: Path, image: Path) -> None:
    heard: list[Event] = []
    run(dataclasses.replace(kept, copy=CopyChoice(overlap=True)), [heard.append])
    begun = [event.step for event in heard if event.kind is EventKind.STEP_STARTED]
    assert begun.index(Step.OUTPUT_SETUP) < begun.index(Step.CONVERT)
    assert_arrived(storage, image)
    assert kept.directory is not None
    assert not kept.directory.exists()


def test_a_conversion_that_fails_stops_the_copy_of_the_base(kept: RunChoice, storage: Path, image: Path) -> None:
    place = kept.directory
    assert place is not None
    # 1 MB/s: it would take a minute
    slow = dataclasses.replace(
        troubled(kept, "fail", "v2v_convert"), copy=CopyChoice(overlap=True, bandwidth=8_000_000)
    )
    started = time.monotonic()
    with pytest.raises(ConversionError, match="asked to fail"):
        run(slow)
    assert time.monotonic() - started < 30
    cured(place)
    resume(place, Again(copying={"bandwidth": None}))
    assert_arrived(storage, image)
