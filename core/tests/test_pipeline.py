# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole conversions with fake plugins: the order, every failure, and nothing left behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import (
    ConversionError,
    DestinationError,
    Interrupted,
    OptionError,
    PluginNotFound,
    UsageError,
    V2VError,
)
from v2v_core.events import Event, EventKind, Step
from v2v_core.first_boot import FirstBootStatus, ScriptRun, ScriptState
from v2v_core.hookspecs import ConvertSettings
from v2v_core.pipeline import convert_in_place, inspect_deeply, print_source, read_first_boot, run
from v2v_core.settings import CopyChoice, InputChoice, OutputChoice, RunChoice
from v2v_core.testing import MARKER
from v2v_core.testing.fake_plugins import read_events
from v2v_core.testing.fixtures import Install
from v2v_core.testing.leftovers import VARIABLE, still_there

HOOKS = {
    "v2v_input_setup": (Step.INPUT_SETUP, 4),
    "v2v_output_check": (Step.OUTPUT_CHECK, 5),
    "v2v_convert": (Step.CONVERT, 6),
    "v2v_output_setup": (Step.OUTPUT_SETUP, 5),
    "v2v_copy": (Step.COPY, 7),
    "v2v_output_finalize": (Step.OUTPUT_FINALIZE, 5),
}
Trouble = Callable[[str, str], RunChoice]

#: A supervisor in a process of its own, to be killed.
_SUPERVISOR = """
import faulthandler, pickle, sys
# a run that does not end prints its stack and fails the test
faulthandler.dump_traceback_later(25, exit=True)
from v2v_core.errors import V2VError
from v2v_core.hookspecs import ConvertSettings
from v2v_core.pipeline import run
try:
    run(pickle.load(open(sys.argv[1], "rb")))
except V2VError as err:
    print(err, file=sys.stderr)
    sys.exit(err.exit_code)
"""


def supervise(choice: RunChoice, tmp_path: Path) -> subprocess.Popen[str]:
    import pickle

    (tmp_path / "choice").write_bytes(pickle.dumps(choice))
    return subprocess.Popen(
        [sys.executable, "-c", _SUPERVISOR, str(tmp_path / "choice")], stderr=subprocess.PIPE, text=True
    )


def wait_for(path: Path, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.02)


def test_steps_run_in_their_order_and_the_guest_arrives(choice: RunChoice, storage: Path, v2v_short_path: Path) -> None:
    heard: list[Event] = []
    result = run(choice, [heard.append])
    assert [event.step for event in heard if event.kind is EventKind.STEP_STARTED] == [
        Step.INPUT_SETUP,
        Step.OUTPUT_CHECK,
        Step.CONVERT,
        Step.OUTPUT_SETUP,
        Step.COPY,
        Step.OUTPUT_FINALIZE,
    ]
    assert sorted(event.step for event in heard if event.kind is EventKind.STEP_FINISHED) == sorted(
        event.step for event in heard if event.kind is EventKind.STEP_STARTED
    )
    assert result.created == tuple(str(storage / f"new name{end}") for end in ("-disk1", "-disk2", ".xml"))
    for disk in result.created[:2]:
        content = Path(disk).read_bytes()
        assert content.startswith(MARKER + (512).to_bytes(8, "big") + (520).to_bytes(8, "big")), "converted, and whole"
        assert len(content) == 1024 * 1024
    xml = (storage / "new name.xml").read_text()
    assert "<name>new name</name>" in xml
    assert "lan" in xml
    assert "fake network" not in xml
    assert [list((v2v_short_path / name).iterdir()) for name in ("t", "l", "s")] == [[], [], []]


@pytest.mark.parametrize("hook", HOOKS)
def test_failure_in_each_step_leaves_nothing(in_trouble: Trouble, nothing_left: Callable[[], None], hook: str) -> None:
    heard: list[Event] = []
    step, code = HOOKS[hook]
    with pytest.raises(V2VError) as failed:
        run(in_trouble("fail", hook), [heard.append])
    assert "asked to fail" in failed.value.message
    assert failed.value.exit_code == code
    (event,) = (event for event in heard if event.kind is EventKind.STEP_FAILED)
    assert (event.step, event.code) == (step, code)
    assert heard[-1] is event, "nothing comes after the failure"
    nothing_left()


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if hook != "v2v_copy"])
def test_crash_in_each_step_blames_the_plugin_and_leaves_nothing(
    in_trouble: Trouble, nothing_left: Callable[[], None], hook: str
) -> None:
    with pytest.raises(V2VError) as failed:
        run(in_trouble("crash", hook))
    assert failed.value.message == (
        f"the plugin 'fake' of v2v-fakes 1.0 failed in {hook}: RuntimeError: asked to crash in {hook}"
    )
    assert failed.value.exit_code == HOOKS[hook][1]
    nothing_left()


@pytest.mark.parametrize("hook", HOOKS)
def test_kill_9_of_the_supervisor_in_each_step_leaves_nothing(
    in_trouble: Trouble,
    nothing_left: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
) -> None:
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    with supervise(in_trouble("hang", hook), tmp_path) as supervisor:
        wait_for(tmp_path / "hanging")
        supervisor.kill()
        supervisor.communicate()
    assert still_there(os.environ[VARIABLE], seconds=15) == {}
    nothing_left()


def test_kill_9_after_the_directory_was_removed_leaves_no_process(
    in_trouble: Trouble, v2v_short_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that cleans up /tmp may remove the directory."""
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    with supervise(in_trouble("hang", "v2v_convert"), tmp_path) as supervisor:
        wait_for(tmp_path / "hanging")
        (directory,) = (v2v_short_path / "t").iterdir()
        shutil.rmtree(directory)
        supervisor.kill()
        supervisor.communicate()
    assert still_there(os.environ[VARIABLE], seconds=15) == {}


def test_kill_9_in_the_middle_of_the_cleanup_leaves_nothing(
    choice: RunChoice, nothing_left: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    options = (("fail-in", "v2v_output_finalize"), ("hang-in", "v2v_output_abort"))
    choice = dataclasses.replace(choice, output=dataclasses.replace(choice.output, options=options))
    with supervise(choice, tmp_path) as supervisor:
        wait_for(tmp_path / "hanging")
        supervisor.kill()
        supervisor.communicate()
    assert still_there(os.environ[VARIABLE], seconds=15) == {}
    nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("hook", ["v2v_convert", "v2v_copy"])
def test_signal_to_the_supervisor_ends_the_run_in_good_order(
    in_trouble: Trouble,
    nothing_left: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    number: signal.Signals,
) -> None:
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    with supervise(in_trouble("hang", hook), tmp_path) as supervisor:
        wait_for(tmp_path / "hanging")
        supervisor.send_signal(number)
        _, stderr = supervisor.communicate(timeout=30)
    assert supervisor.returncode == Interrupted.exit_code, stderr
    assert "Traceback" not in stderr
    assert still_there(os.environ[VARIABLE], seconds=0) == {}
    nothing_left()


def test_converter_that_is_killed_is_an_error_of_one_line(
    in_trouble: Trouble, nothing_left: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills it when memory runs out."""
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))

    def kill() -> None:
        wait_for(tmp_path / "hanging")
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (entry / "cmdline").exists():
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"v2v_core.steps.convert_apart" in words and _is_mine(entry):
                    os.kill(int(entry.name), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    heard: list[Event] = []
    with pytest.raises(ConversionError, match="the conversion process was killed by signal 9"):
        run(in_trouble("hang", "v2v_convert"), [heard.append])
    killer.join()
    assert [event.step for event in heard if event.kind is EventKind.STEP_FAILED] == [Step.CONVERT]
    nothing_left()


def _is_mine(process: Path) -> bool:
    return f"{VARIABLE}={os.environ[VARIABLE]}".encode() in (process / "environ").read_bytes().split(b"\0")


def test_unknown_output_is_found_before_anything_is_done(choice: RunChoice, nothing_left: Callable[[], None]) -> None:
    heard: list[Event] = []
    with pytest.raises(PluginNotFound, match="unknown output mode 'nope'"):
        run(dataclasses.replace(choice, output=OutputChoice(mode="nope")), [heard.append])
    assert heard == []
    nothing_left()


def test_unknown_input_is_found_before_anything_is_done(choice: RunChoice, nothing_left: Callable[[], None]) -> None:
    heard: list[Event] = []
    with pytest.raises(PluginNotFound, match="unknown input mode 'nope'"):
        run(dataclasses.replace(choice, input=InputChoice(mode="nope")), [heard.append])
    assert heard == []
    nothing_left()


@pytest.mark.parametrize("whole", [run, convert_in_place])
def test_setting_that_makes_no_sense_is_found_before_anything_is_done(
    choice: RunChoice, nothing_left: Callable[[], None], whole: Callable[..., object]
) -> None:
    settings = ConvertSettings(extra={"nonsense": True})
    heard: list[Event] = []
    with pytest.raises(UsageError, match="the setting nonsense makes no sense"):
        whole(
            dataclasses.replace(choice, convert=dataclasses.replace(choice.convert, settings=settings)), [heard.append]
        )
    assert heard == []
    nothing_left()


def test_unknown_option_leaves_nothing(choice: RunChoice, nothing_left: Callable[[], None]) -> None:
    output = dataclasses.replace(choice.output, options=(("colour", "blue"),))
    with pytest.raises(OptionError, match="option 'colour': unknown"):
        run(dataclasses.replace(choice, output=output))
    nothing_left()


def test_error_of_a_failed_run_says_where_its_logs_are_kept(
    choice: RunChoice, in_trouble: Trouble, v2v_short_path: Path
) -> None:
    with pytest.raises(DestinationError) as failed:
        run(in_trouble("fail", "v2v_output_setup"))
    (kept,) = (v2v_short_path / "s" / "v2v" / "logs").iterdir()
    assert f"logs: {kept}" in failed.value.__notes__
    assert "asked to fail in v2v_output_setup" in (kept / "output_setup.log").read_text()
    assert read_events(kept / "events.jsonl")[-1].kind is EventKind.STEP_FAILED


def test_observer_plugin_gets_all_events(choice: RunChoice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_FAKE_OBSERVER", str(tmp_path / "observed"))
    heard: list[Event] = []
    run(dataclasses.replace(choice, observers=("fake",)), [heard.append])
    assert read_events(tmp_path / "observed") == heard


def test_observer_that_raises_is_harmless(choice: RunChoice, storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("V2V_FAKE_OBSERVER", "raise")

    def deaf(_event: Event) -> None:
        raise RuntimeError("deaf")

    run(dataclasses.replace(choice, observers=("fake",)), [deaf])
    assert (storage / "new name.xml").exists()


def test_broken_plugin_that_is_not_used_does_no_harm(choice: RunChoice, storage: Path, v2v_install: Install) -> None:
    groups = {f"v2v.{role}": {f"t-broken-{role}": "t_broken:B"} for role in ("input", "output", "convert", "copy")}
    v2v_install("v2v-broken", groups, {"t_broken": "raise RuntimeError('imported')"})
    run(choice)
    assert (storage / "new name.xml").exists()
    assert "t_broken" not in sys.modules


def test_directory_of_the_user_is_used_and_removed_at_the_end(choice: RunChoice, v2v_short_path: Path) -> None:
    heard: list[Event] = []
    place = v2v_short_path / "mine"
    run(dataclasses.replace(choice, directory=place), [heard.append])
    assert heard
    assert not place.exists()


def test_directory_of_the_user_that_holds_something_is_left_alone(choice: RunChoice, v2v_short_path: Path) -> None:
    (v2v_short_path / "mine" / "input").mkdir(parents=True)
    (v2v_short_path / "mine" / "input" / "thesis").write_text("precious")
    with pytest.raises(V2VError, match="is not a conversion directory"):
        run(dataclasses.replace(choice, directory=v2v_short_path / "mine"))
    assert (v2v_short_path / "mine" / "input" / "thesis").read_text() == "precious"


def test_source_is_as_it_was_after_a_run_and_after_a_failure(
    choice: RunChoice, in_trouble: Trouble, v2v_disk: Path
) -> None:
    before = v2v_disk.stat()
    content = v2v_disk.read_bytes()
    source = InputChoice(mode="fake", arguments=(str(v2v_disk),))
    run(dataclasses.replace(choice, input=source))
    with pytest.raises(V2VError):
        run(dataclasses.replace(in_trouble("fail", "v2v_copy"), input=source))
    assert v2v_disk.read_bytes() == content
    assert (v2v_disk.stat().st_mtime_ns, v2v_disk.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


def test_conversion_in_place_changes_the_source_itself(
    choice: RunChoice, nothing_left: Callable[[], None], v2v_disk: Path
) -> None:
    rest = v2v_disk.read_bytes()[len(MARKER) :]
    source = InputChoice(mode="fake", arguments=(str(v2v_disk),), in_place=True)
    convert_in_place(dataclasses.replace(choice, input=source))
    assert v2v_disk.read_bytes() == MARKER + rest
    nothing_left()


def test_print_source_returns_the_guest_and_converts_nothing(
    choice: RunChoice, nothing_left: Callable[[], None]
) -> None:
    heard: list[Event] = []
    guest = print_source(choice, [heard.append])
    assert (guest.name, [disk.size for disk in guest.disks]) == ("fake guest", [1024 * 1024] * 2)
    assert {event.step for event in heard} == {Step.INPUT_SETUP}
    nothing_left()


def test_deep_inspection_says_what_would_be_changed_and_changes_no_source(
    choice: RunChoice, nothing_left: Callable[[], None], tmp_path: Path
) -> None:
    image = tmp_path / "source.img"
    image.write_bytes(bytes(1024 * 1024))
    source = InputChoice(mode="fake", arguments=(str(image),))
    guest, found = inspect_deeply(dataclasses.replace(choice, input=source))
    assert [disk.size for disk in guest.disks] == [1024 * 1024]
    assert found.convertible
    assert [change.what for change in found.changes] == ["marked"]
    assert found.inspection is not None
    assert found.inspection.distro == "fakeos"
    assert image.read_bytes() == bytes(1024 * 1024)
    nothing_left()


def test_deep_inspection_returns_the_obstacles(choice: RunChoice, nothing_left: Callable[[], None]) -> None:
    """The user asked for them, so they are no error."""
    settings = ConvertSettings(extra={"obstacle": "the guest is hibernated"})
    convert = dataclasses.replace(choice.convert, settings=settings)
    _guest, found = inspect_deeply(dataclasses.replace(choice, convert=convert))
    assert not found.convertible
    assert [(one.reason, one.remedy) for one in found.obstacles] == [("the guest is hibernated", "remove the obstacle")]
    nothing_left()


def test_deep_inspection_that_fails_is_an_error_of_the_conversion(
    in_trouble: Trouble, nothing_left: Callable[[], None]
) -> None:
    with pytest.raises(ConversionError, match="asked to fail"):
        inspect_deeply(in_trouble("fail", "v2v_convert"))
    nothing_left()


def test_the_first_boot_is_read_from_overlays(
    choice: RunChoice, nothing_left: Callable[[], None], tmp_path: Path
) -> None:
    image = tmp_path / "source.img"
    image.write_bytes(bytes(1024 * 1024))
    source = InputChoice(mode="fake", arguments=(str(image),))
    settings = ConvertSettings(extra={"first_boot": "given up"})
    convert = dataclasses.replace(choice.convert, settings=settings)
    status = read_first_boot(dataclasses.replace(choice, input=source, convert=convert))
    assert status == FirstBootStatus(
        planned=True, finished=True, scripts=(ScriptRun(name="fake", state=ScriptState.GIVEN_UP),)
    )
    assert not status.succeeded
    assert image.read_bytes() == bytes(1024 * 1024)
    nothing_left()


def test_environment_and_temporary_files_of_the_process_are_as_before(choice: RunChoice, tmp_path: Path) -> None:
    """A supervisor may convert many guests in one process."""
    import pickle

    (tmp_path / "choice").write_bytes(pickle.dumps(dataclasses.replace(choice, copy=CopyChoice(mode="nbdcopy"))))
    code = """
import dataclasses, json, os, pickle, sys, tempfile
from v2v_core.hookspecs import ConvertSettings
from v2v_core.pipeline import run
choice = pickle.load(open(sys.argv[1], "rb"))
before = dict(os.environ)
for name in ("one", "two"):
    run(dataclasses.replace(choice, output=dataclasses.replace(choice.output, name=name)))
tempfile.TemporaryFile().close()
print(json.dumps([before == dict(os.environ), tempfile.gettempdir() == os.environ["TMPDIR"]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "choice")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [True, True]


def test_run_in_a_thread_needs_no_signals(choice: RunChoice, storage: Path) -> None:
    raised: list[BaseException] = []

    def body() -> None:
        try:
            run(choice)
        except BaseException as err:
            raised.append(err)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(60)
    assert raised == []
    assert (storage / "new name.xml").exists()


def test_steps_can_be_run_one_by_one_in_processes_of_their_own(
    choice: RunChoice, storage: Path, v2v_short_path: Path, tmp_path: Path
) -> None:
    """Another supervisor may do this: nothing but the directory passes from one step to the next."""
    import pickle

    place = v2v_short_path / "d"
    ConversionDir.open_or_create(place)
    (tmp_path / "choice").write_bytes(pickle.dumps(choice))
    prologue = (
        "import pickle, sys; from pathlib import Path; from v2v_core.conversion_dir import ConversionDir; "
        "from v2v_core.steps import cleanup, convert, copy, input_setup, output_check, output_finalize, output_setup; "
        "d = ConversionDir.existing(Path(sys.argv[1])); c = pickle.load(open(sys.argv[2], 'rb')); "
    )
    for step in (
        "input_setup.run(d, c.input)",
        "output_check.run(d, c.output)",
        "convert.run(d, c.convert)",
        "output_setup.run(d, c.output)",
        "copy.run(d, c.copy)",
        "output_finalize.run(d)",
        "cleanup.run(d)",
    ):
        argv = [sys.executable, "-c", prologue + step, str(place), str(tmp_path / "choice")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{step}: {done.stderr}"
    assert (storage / "new name-disk2").read_bytes().startswith(MARKER)
    assert not place.exists()
