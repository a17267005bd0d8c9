# SPDX-License-Identifier: GPL-2.0-or-later
"""A failure during the cleanup: nothing that is still owned is forgotten, and a run can be picked up."""

from __future__ import annotations

import dataclasses
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2v_core import kept_logs, processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import DestinationError, UsageError, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.hookspecs import ConvertSettings
from v2v_core.pipeline import convert_in_place, run
from v2v_core.settings import InputChoice, RunChoice
from v2v_core.steps import cleanup, convert, copy, input_setup, output_check, output_finalize, output_setup
from v2v_core.steps.alone import clean_up_alone
from v2v_core.testing import MARKER
from v2v_core.testing.fixtures import Install
from v2v_core.testing.images import tree_of

Trouble = Callable[[str, str], RunChoice]

_SUPERVISOR = """
import pickle, sys
from v2v_core.errors import V2VError
from v2v_core.pipeline import run
try:
    run(pickle.load(open(sys.argv[1], "rb")))
except V2VError as err:
    print(err, file=sys.stderr)
    sys.exit(err.exit_code)
"""

#: An output whose engine does not answer while a file exists, and an input that makes a snapshot on the same engine.
_REMOTE = """
import os
from pathlib import Path
from v2v_core.api import *
from v2v_core.testing import FakeInput, FakeOutput

def ask():
    if Path(os.environ["T_DOWN"]).exists():
        raise DestinationError("the engine does not answer")

class Remote(FakeOutput):
    @hookimpl
    def v2v_output_abort(self, request):
        ask()
        return super().v2v_output_abort(request)

class Snapshots(FakeInput):
    @hookimpl
    def v2v_input_setup(self, request):
        snapshot = Path(os.environ["T_SNAPSHOT"])
        request.ledger.record("snapshot", str(snapshot))
        snapshot.touch()
        return super().v2v_input_setup(request)

    @hookimpl
    def v2v_input_abort(self, request):
        ask()
        for snapshot in request.owned:
            Path(snapshot.identity).unlink(missing_ok=True)
        return AbortResult()
"""


@pytest.fixture
def down(v2v_install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install ``-o t-remote`` and ``-i t-snapshots``; nothing can be deleted while the path that is returned exists."""
    targets = {
        "v2v.output": {"t-remote": "t_remote:Remote"},
        "v2v.input": {"t-snapshots": "t_remote:Snapshots"},
    }
    v2v_install("v2v-t-remote", targets, {"t_remote": _REMOTE})
    monkeypatch.setenv("T_DOWN", str(tmp_path / "down"))
    monkeypatch.setenv("T_SNAPSHOT", str(tmp_path / "snapshot"))
    return tmp_path / "down"


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[RunChoice], subprocess.Popen[str]]]:
    """Yield a function that starts a run in a process of its own."""
    import pickle

    started: list[subprocess.Popen[str]] = []

    def start(choice: RunChoice) -> subprocess.Popen[str]:
        file = tmp_path / f"choice{len(started)}"
        file.write_bytes(pickle.dumps(choice))
        argv = [sys.executable, "-c", _SUPERVISOR, str(file)]
        started.append(subprocess.Popen(argv, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def cleaned_up(place: Path) -> bool:
    """Try to remove a kept directory. Return whether the warden of its run let it be removed."""
    try:
        return clean_up_alone(place) == ()
    except UsageError as err:
        assert "is in use" in err.message
        return False


def with_output(choice: RunChoice, mode: str, *options: tuple[str, str]) -> RunChoice:
    return dataclasses.replace(choice, output=dataclasses.replace(choice.output, mode=mode, options=options))


def hang_in_finalize(choice: RunChoice) -> RunChoice:
    return with_output(choice, "t-remote", ("hang-in", "v2v_output_finalize"))


def test_kill_9_and_then_a_target_that_does_not_answer_forgets_nothing(
    choice: RunChoice,
    down: Path,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    storage: Path,
    v2v_short_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The warden deleted the directory and its ledger, so that nothing named the disks at the target."""
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    before = tree_of(storage)
    supervisor = supervise(hang_in_finalize(choice))
    wait_until((tmp_path / "hanging").exists)
    down.touch()
    supervisor.kill()
    (path,) = (v2v_short_path / "t").iterdir()
    wait_until(lambda: (path / "log" / "cleanup.log").exists() and not processes.find(path))
    directory = ConversionDir.existing(path)
    disks = [str(storage / f"new name-disk{index}") for index in (1, 2)]
    assert [thing.identity for thing in directory.ledger.owned()][:2] == disks
    (kept,) = kept_logs.place().iterdir()
    assert "the engine does not answer" in (kept / "cleanup.log").read_text()
    assert disks[1] in (kept / "owned.jsonl").read_text()
    assert list((v2v_short_path / "l").iterdir()) == [], "the overlays are removed at once"

    down.unlink()
    assert cleanup.run(directory) == ()
    assert not path.exists()
    assert tree_of(storage) == before


def test_a_second_cleanup_while_nothing_answers_keeps_everything(
    choice: RunChoice, down: Path, v2v_directory: ConversionDir, storage: Path
) -> None:
    output = dataclasses.replace(choice.output, mode="t-remote")
    input_setup.run(v2v_directory, choice.input)
    output_check.run(v2v_directory, output)
    output_setup.run(v2v_directory, output)
    down.touch()
    for _ in range(2):
        assert len(cleanup.run(v2v_directory)) == 2
    assert (storage / "new name-disk1").exists()
    down.unlink()
    assert cleanup.run(v2v_directory) == ()
    assert not (storage / "new name-disk1").exists()


def test_objects_of_an_output_are_taken_back_by_that_output(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install, storage: Path
) -> None:
    """A set-up fails, and then an output of another mode is set up in the same directory."""
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-other": "t_other:Other"}},
        {
            "t_other": "from v2v_core.api import *\nfrom v2v_core.testing import FakeOutput\n"
            "class Other(FakeOutput):\n @hookimpl\n def v2v_output_abort(self, request):\n"
            "  raise RuntimeError('these are not mine')\n"
        },
    )
    input_setup.run(v2v_directory, choice.input)
    first = dataclasses.replace(choice.output, options=(("fail-in", "v2v_output_setup"),))
    output_check.run(v2v_directory, first)
    with pytest.raises(DestinationError):
        output_setup.run(v2v_directory, first)
    assert (storage / "new name-disk1").exists()
    second = dataclasses.replace(choice.output, mode="t-other", name="other")
    heard: list[Event] = []
    output_check.run(v2v_directory, second)
    output_setup.run(v2v_directory, second, [heard.append])
    assert [event.text for event in heard if event.kind is EventKind.INFO] == ["took back 2 files"]
    assert not (storage / "new name-disk1").exists()
    assert {owner.choice.mode for owner in v2v_directory.ledger.owners() if owner.objects} == {"t-other"}


def test_set_up_does_not_go_on_over_what_cannot_be_deleted(
    choice: RunChoice, down: Path, v2v_directory: ConversionDir
) -> None:
    output = dataclasses.replace(choice.output, mode="t-remote")
    input_setup.run(v2v_directory, choice.input)
    output_setup.run(v2v_directory, output)
    down.touch()
    with pytest.raises(DestinationError, match=r"an earlier attempt left file .*disk1 behind"):
        output_setup.run(v2v_directory, output)
    down.unlink()
    output_setup.run(v2v_directory, output)
    assert len(v2v_directory.ledger.owned()) == 2


def test_finalize_is_by_the_output_that_was_set_up_and_not_by_one_that_was_only_checked(
    choice: RunChoice, v2v_directory: ConversionDir, storage: Path
) -> None:
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, choice.convert)
    output_setup.run(v2v_directory, choice.output)
    copy.run(v2v_directory, choice.copy)
    output_check.run(v2v_directory, dataclasses.replace(choice.output, name="another"))
    output_finalize.run(v2v_directory)
    assert (storage / "new name.xml").exists()


def test_an_output_set_up_before_the_conversion_gives_the_same_guest(
    choice: RunChoice, v2v_short_path: Path, v2v_leftovers: None, storage: Path
) -> None:
    def guest(name: str, *, output_first: bool) -> dict[str, bytes]:
        output = dataclasses.replace(choice.output, name=name)
        directory = ConversionDir.open_or_create(v2v_short_path / name)
        input_setup.run(directory, choice.input)
        if output_first:
            output_check.run(directory, output)
            output_setup.run(directory, output)
        convert.run(directory, choice.convert)
        if not output_first:
            output_check.run(directory, output)
            output_setup.run(directory, output)
        copy.run(directory, choice.copy)
        output_finalize.run(directory)
        cleanup.run(directory)
        files = {path.name.removeprefix(name): path.read_bytes() for path in storage.glob(f"{name}*")}
        files[".xml"] = files[".xml"].replace(name.encode(), b"NAME")
        return files

    assert guest("documented", output_first=False) == guest("outputfirst", output_first=True)


def test_objects_of_an_input_are_deleted_after_success_and_after_failure(
    choice: RunChoice, in_trouble: Trouble, down: Path, tmp_path: Path
) -> None:
    snapshots = dataclasses.replace(choice.input, mode="t-snapshots")
    for made in (in_trouble("fail", "v2v_convert"), choice):
        seen: list[bool] = []
        try:
            run(
                dataclasses.replace(made, input=snapshots),
                at_end=lambda _directory, seen=seen: seen.append((tmp_path / "snapshot").exists()),
            )
        except V2VError as err:
            assert "asked to fail" in err.message
        assert seen == [True], "the snapshot exists as long as the source is read"
        assert not (tmp_path / "snapshot").exists()


def test_a_snapshot_that_cannot_be_deleted_stays_in_the_ledger(
    choice: RunChoice, down: Path, tmp_path: Path, v2v_directory: ConversionDir
) -> None:
    input_setup.run(v2v_directory, dataclasses.replace(choice.input, mode="t-snapshots"))
    down.touch()
    (left,) = cleanup.run(v2v_directory)
    assert (left.kind, left.identity) == ("snapshot", str(tmp_path / "snapshot"))
    down.unlink()
    assert cleanup.run(v2v_directory) == ()
    assert not v2v_directory.path.exists()


def test_same_directory_right_after_a_kill_is_not_raced_by_the_old_warden(
    choice: RunChoice,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    v2v_short_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: Path,
) -> None:
    """The old warden killed the servers of the new run."""
    place = v2v_short_path / "d"
    hanging = dataclasses.replace(
        choice, directory=place, output=dataclasses.replace(choice.output, options=(("hang-in", "v2v_output_setup"),))
    )
    for number in range(4):
        monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / f"hanging{number}"))
        first = supervise(hanging)
        wait_until((tmp_path / f"hanging{number}").exists)
        os.kill(first.pid, signal.SIGKILL)
        # the directory is kept; the warden of the first run may still hold it
        wait_until(lambda: cleaned_up(place))
        second = supervise(
            dataclasses.replace(
                choice, directory=place, output=dataclasses.replace(choice.output, name=f"guest {number}")
            )
        )
        _, stderr = second.communicate(timeout=60)
        assert second.returncode == 0, stderr
        assert (storage / f"guest {number}.xml").exists()
    wait_until(lambda: not place.exists())


def test_second_run_in_the_same_directory_is_refused_while_the_first_one_runs(
    choice: RunChoice,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    v2v_short_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    place = v2v_short_path / "d"
    options = (("hang-in", "v2v_output_setup"),)
    hanging = dataclasses.replace(choice, directory=place, output=dataclasses.replace(choice.output, options=options))
    first = supervise(hanging)
    wait_until((tmp_path / "hanging").exists)
    serving = processes.find(place)
    with pytest.raises(UsageError, match=f"is in use: process {first.pid} runs a conversion in it"):
        run(dataclasses.replace(choice, directory=place))
    assert processes.find(place) == serving, "the first run was not disturbed"
    assert first.poll() is None
    first.kill()
    wait_until(lambda: cleaned_up(place))
    assert not place.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a directory of another user")
def test_directory_of_another_user_is_refused(choice: RunChoice, v2v_short_path: Path) -> None:
    """That user could put his own disks and metadata into a conversion that root runs."""
    place = v2v_short_path / "theirs"
    place.mkdir()
    os.chown(place, 4242, 4242)
    with pytest.raises(UsageError, match=f"{place} cannot be used for a conversion: it belongs to the user 4242"):
        run(dataclasses.replace(choice, directory=place))
    assert list(place.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user")
def test_endpoint_of_another_user_in_a_directory_of_ours_is_refused(v2v_short_path: Path) -> None:
    place = v2v_short_path / "mixed"
    place.mkdir(mode=0o777)
    (place / "in1").touch()
    os.chown(place / "in1", 4242, 4242)
    with pytest.raises(UsageError, match="in1 cannot be used for a conversion: it belongs to the user 4242"):
        ConversionDir.open_or_create(place)


def test_directory_that_others_can_open_is_refused(v2v_short_path: Path) -> None:
    directory = ConversionDir.open_or_create(v2v_short_path / "d")
    directory.path.chmod(0o750)
    for opened in (ConversionDir.open_or_create, ConversionDir.existing):
        with pytest.raises(UsageError, match=r"other users can open it \(its mode is 0750\)"):
            opened(directory.path)
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o750


def test_path_that_is_not_utf_8_is_converted_and_its_errors_are_reported_correctly(
    choice: RunChoice, v2v_disk: Path, tmp_path: Path, storage: Path
) -> None:
    """Such a path caused an internal error, which hid the real one."""
    image = tmp_path / os.fsdecode(b"gu\xe9st \xff.img")
    image.write_bytes(v2v_disk.read_bytes())
    place = tmp_path / os.fsdecode(b"st\xf6rage")
    place.mkdir()
    source = InputChoice(mode="fake", arguments=(str(image),))
    output = dataclasses.replace(choice.output, storage=str(place))
    run(dataclasses.replace(choice, input=source, output=output))
    assert (place / "new name-disk1").read_bytes().startswith(MARKER)
    image.unlink()
    heard: list[Event] = []
    with pytest.raises(V2VError) as failed:
        run(dataclasses.replace(choice, input=source, output=output), [heard.append])
    assert "is not a file" in failed.value.message
    assert "internal error" not in failed.value.message
    (event,) = (event for event in heard if event.kind is EventKind.STEP_FAILED)
    event.to_json().encode("utf-8")


def test_keys_are_never_written_to_the_directory(
    choice: RunChoice,
    supervise: Callable[[RunChoice], subprocess.Popen[str]],
    v2v_short_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file with the passphrases was left behind by an interruption."""
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    secret = "correct-horse-battery"
    settings = ConvertSettings(keys=(f"all:key:{secret}",), extra={"hang-in": "v2v_convert"})
    keyed = dataclasses.replace(choice, convert=dataclasses.replace(choice.convert, settings=settings))
    supervisor = supervise(keyed)
    wait_until((tmp_path / "hanging").exists)
    for path in v2v_short_path.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    supervisor.send_signal(signal.SIGINT)
    _, stderr = supervisor.communicate(timeout=30)
    assert secret not in stderr


def test_copy_after_a_set_up_that_failed_halfway_names_the_missing_step(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_install: Install
) -> None:
    """Iterating over the disks raised an internal error."""
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-half": "t_half:Half"}},
        {
            "t_half": "import dataclasses\nfrom pathlib import Path\nfrom v2v_core.api import *\n"
            "from v2v_core.testing import FakeOutput\n"
            "class Half(FakeOutput):\n @hookimpl\n def v2v_output_setup(self, request):\n"
            "  made = super().v2v_output_setup(request)\n"
            "  gone = QemuImage(path=Path('/nonexistent/x'), format='raw')\n"
            "  return dataclasses.replace(made, disks=(made.disks[0], gone))\n"
        },
    )
    output = dataclasses.replace(choice.output, mode="t-half")
    input_setup.run(v2v_directory, choice.input)
    convert.run(v2v_directory, choice.convert)
    with pytest.raises(DestinationError, match="the destination of disk 2 cannot be opened"):
        output_setup.run(v2v_directory, output)
    assert served.read_output(v2v_directory).disks == ()
    with pytest.raises(UsageError, match="step copy needs step output_setup"):
        copy.run(v2v_directory, choice.copy)


def test_observers_of_a_conversion_in_place_get_its_events(
    choice: RunChoice, v2v_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They got no events."""
    monkeypatch.setenv("V2V_FAKE_OBSERVER", str(tmp_path / "observed"))
    source = InputChoice(mode="fake", arguments=(str(v2v_disk),), in_place=True)
    convert_in_place(dataclasses.replace(choice, input=source, observers=("fake",)))
    seen = [Event.from_json(line) for line in (tmp_path / "observed").read_text().splitlines()]
    assert [event.step for event in seen if event.kind is EventKind.STEP_FINISHED] == [Step.INPUT_SETUP, Step.CONVERT]


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        ("V2VError('the shelf is full', hint='tidy up')", "the shelf is full"),
        ("CommandError(['mount', '/x'], 32, 'mount: /x: no route')", "mount failed with exit status 32: mount: /x: no"),
    ],
)
@pytest.mark.parametrize(
    ("hook", "step", "code"),
    [
        ("v2v_output_setup", Step.OUTPUT_SETUP, 5),
        ("v2v_output_finalize", Step.OUTPUT_FINALIZE, 5),
        ("v2v_output_check", Step.OUTPUT_CHECK, 5),
    ],
)
def test_plain_error_of_an_output_has_the_exit_code_of_its_step(
    choice: RunChoice, v2v_install: Install, raised: str, message: str, hook: str, step: Step, code: int
) -> None:
    """The exit code was 1."""
    v2v_install(
        "v2v-output-t",
        {"v2v.output": {"t-plain": "t_plain:Plain"}},
        {
            "t_plain": "from v2v_core.api import *\nfrom v2v_core.testing import FakeOutput\n"
            f"class Plain(FakeOutput):\n @hookimpl\n def {hook}(self, request):\n  raise {raised}\n"
        },
    )
    heard: list[Event] = []
    with pytest.raises(DestinationError) as failed:
        run(dataclasses.replace(choice, output=dataclasses.replace(choice.output, mode="t-plain")), [heard.append])
    assert failed.value.message.startswith(message)
    assert failed.value.exit_code == code
    assert [event.step for event in heard if event.kind is EventKind.STEP_FAILED] == [step]


def test_plain_error_of_a_copier_names_the_disk(choice: RunChoice, v2v_install: Install) -> None:
    """The error did not name the disk."""
    v2v_install(
        "v2v-copy-t",
        {"v2v.copy": {"t-plain": "t_plain_copy:Plain"}},
        {
            "t_plain_copy": "from v2v_core.api import *\nfrom v2v_core.testing import FakeCopy\n"
            "class Plain(FakeCopy):\n @hookimpl\n def v2v_copy(self, request):\n"
            "  if request.index == 2: raise CommandError(['nbdcopy'], 1, 'nbdcopy: broken pipe')\n"
            "  return super().v2v_copy(request)\n"
        },
    )
    heard: list[Event] = []
    with pytest.raises(V2VError, match="nbdcopy failed with exit status 1"):
        run(dataclasses.replace(choice, copy=dataclasses.replace(choice.copy, mode="t-plain")), [heard.append])
    (event,) = (event for event in heard if event.kind is EventKind.STEP_FAILED)
    assert (event.step, event.disk, event.code) == (Step.COPY, 2, 7)
