# SPDX-License-Identifier: GPL-2.0-or-later
"""Reports of a step reach the log, the events and the listeners, and a failure of these does not end the step."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CommandError, ConversionError, CopyError, Interrupted, Obstacle, SourceError, V2VError
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import ChangeKind, Fact, Verdict
from v2v_core.reporting import StepReport, forward, running
from v2v_core.steps import cleanup
from v2v_core.testing.fake_plugins import read_events


@pytest.fixture(autouse=True)
def _source_is_set_up(v2v_directory: ConversionDir) -> None:
    """Mark the steps as done that the steps in these tests need."""
    for step in (Step.INPUT_SETUP, Step.OUTPUT_SETUP):
        v2v_directory.mark_done(step)


def kinds(events: list[Event]) -> list[EventKind]:
    return [event.kind for event in events]


def test_step_that_goes_well_is_started_finished_and_marked(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []
    with running(v2v_directory, Step.CONVERT, [heard.append]) as report:
        assert Step.CONVERT not in v2v_directory.done()
        report.message("Converting")
    assert kinds(heard) == [EventKind.STEP_STARTED, EventKind.MESSAGE, EventKind.STEP_FINISHED]
    assert read_events(v2v_directory.events) == heard
    assert Step.CONVERT in v2v_directory.done()
    assert "message: Converting" in v2v_directory.log(Step.CONVERT).read_text()


def test_error_names_the_step_the_disk_the_log_and_the_code(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []
    with pytest.raises(CopyError), running(v2v_directory, Step.COPY, [heard.append]):
        raise CopyError("disk 2: gone", disk=2, hint="bring it back")
    failed = heard[-1]
    assert (failed.kind, failed.step, failed.disk, failed.code) == (EventKind.STEP_FAILED, Step.COPY, 2, 7)
    assert (failed.text, failed.hint) == ("disk 2: gone", "bring it back")
    assert failed.log == str(v2v_directory.log(Step.COPY))
    assert Step.COPY not in v2v_directory.done()


def test_stderr_of_a_program_that_caused_the_error_is_in_the_log(v2v_directory: ConversionDir) -> None:
    def fail() -> None:
        try:
            raise CommandError(["qemu-img", "create"], 1, "line one\nthe reason")
        except CommandError as err:
            raise SourceError("cannot be opened") from err

    with pytest.raises(SourceError), running(v2v_directory, Step.INPUT_SETUP, []):
        fail()
    log = v2v_directory.log(Step.INPUT_SETUP).read_text()
    assert "line one" in log
    assert "the reason" in log
    assert "Traceback" in log


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (RuntimeError("oops"), V2VError, "internal error in step convert: RuntimeError: oops"),
        (KeyboardInterrupt(), Interrupted, "interrupted"),
        (OSError(errno.EACCES, "Permission denied", "/x/y"), V2VError, "/x/y: Permission denied"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            V2VError,
            "/x/y cannot be written: there is no more space in /x",
        ),
    ],
)
def test_foreign_exception_becomes_one_line(
    v2v_directory: ConversionDir, raised: BaseException, expected: type[V2VError], message: str
) -> None:
    with pytest.raises(expected) as wrapped, running(v2v_directory, Step.CONVERT, []):
        raise raised
    assert wrapped.value.message == message
    assert wrapped.value.__cause__ is raised


def test_listener_that_raises_does_no_harm_and_the_others_get_the_event(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []

    def deaf(_event: Event) -> None:
        raise RuntimeError("deaf")

    with running(v2v_directory, Step.CONVERT, [deaf, heard.append]) as report:
        report.warning("look out")
    assert kinds(heard) == [EventKind.STEP_STARTED, EventKind.WARNING, EventKind.STEP_FINISHED]


def test_signal_that_arrives_in_a_listener_is_not_lost(v2v_directory: ConversionDir) -> None:
    def interrupted(_event: Event) -> None:
        raise Interrupted("stopped by SIGTERM")

    with pytest.raises(Interrupted), running(v2v_directory, Step.CONVERT, []) as report:
        forward(Event(kind=EventKind.MESSAGE, step=Step.CONVERT), [interrupted])
        report.message("never reported")
    assert "never reported" not in v2v_directory.log(Step.CONVERT).read_text()


@pytest.mark.parametrize("nasty", ["\x1b[31mred", "bell\x07", "back\rover", "c1\x9b31m", "two\nlines", "nul\0"])
def test_control_characters_reach_neither_listeners_nor_the_log(v2v_directory: ConversionDir, nasty: str) -> None:
    heard: list[Event] = []
    report = StepReport(v2v_directory, Step.CONVERT, [heard.append])
    report.info(nasty)
    report.debug(nasty)
    report.close()
    texts = heard[0].text + v2v_directory.log(Step.CONVERT).read_text().replace("\n", "")
    assert not [c for c in texts if ord(c) < 32 or 127 <= ord(c) < 160]


def test_change_is_an_event_and_a_line_of_the_log(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []
    with running(v2v_directory, Step.CONVERT, [heard.append]) as report:
        report.changed("/etc/fstab", "new names", "disks have other names")
    change = heard[1]
    assert (change.kind, change.path, change.what) == (EventKind.CHANGE, "/etc/fstab", "new names")
    assert (change.why, change.text) == ("disks have other names", "/etc/fstab: new names (disks have other names)")
    assert read_events(v2v_directory.events) == heard
    line = "change: /etc/fstab: new names (disks have other names)"
    assert line in v2v_directory.log(Step.CONVERT).read_text()


def test_change_of_the_registry_names_the_value(v2v_directory: ConversionDir) -> None:
    report = StepReport(v2v_directory, Step.CONVERT, [])
    report.changed(r"SYSTEM\Select", "set to 2", "b", kind=ChangeKind.REGISTRY, value="Current")
    report.close()
    (event,) = read_events(v2v_directory.events)
    assert (event.change, event.value, event.path) == (ChangeKind.REGISTRY, "Current", r"SYSTEM\Select")
    assert event.text == r"SYSTEM\Select, value Current: set to 2 (b)"


def test_fact_is_an_event_and_a_line_of_the_log(v2v_directory: ConversionDir) -> None:
    report = StepReport(v2v_directory, Step.CONVERT, [])
    report.examined(Fact(name="the \x1bdriver starts", verdict=Verdict.FAILED, detail="Start\nis 3"))
    report.close()
    (event,) = read_events(v2v_directory.events)
    assert event.fact is not None
    assert event.fact.verdict is Verdict.FAILED
    assert not [c for c in event.fact.name + event.fact.detail + event.text if ord(c) < 32]
    assert "fact: failed: the" in v2v_directory.log(Step.CONVERT).read_text()


@pytest.mark.parametrize("nasty", ["\x1b[31mred", "two\nlines", "c1\x9b31m", "a\u2028b", "half\ud800"])
def test_change_is_one_line_whatever_it_holds(v2v_directory: ConversionDir, nasty: str) -> None:
    report = StepReport(v2v_directory, Step.CONVERT, [])
    report.changed(f"/{nasty}", nasty, nasty)
    report.close()
    (event,) = read_events(v2v_directory.events)
    reported = "".join(filter(None, [event.path, event.what, event.why, event.text]))
    reported += v2v_directory.log(Step.CONVERT).read_text().removesuffix("\n")
    assert not [c for c in reported if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\ud800"]


def test_reasons_of_a_failure_are_listed_one_by_one(v2v_directory: ConversionDir) -> None:
    obstacles = [Obstacle(reason="no \x1bkernel", remedy="install\none"), Obstacle(reason="b", remedy="d")]
    with pytest.raises(ConversionError), running(v2v_directory, Step.CONVERT, []):
        raise ConversionError.for_obstacles(obstacles)
    failed = read_events(v2v_directory.events)[-1]
    assert failed.text == "the guest cannot be converted for 2 reasons: (1) no  kernel; (2) b"
    assert failed.hint == "install one; d"
    assert failed.obstacles == (Obstacle(reason="no  kernel", remedy="install one"), obstacles[1])


def test_progress_is_thinned_out_and_its_end_is_not_lost(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []
    report = StepReport(v2v_directory, Step.COPY, [heard.append])
    for done in range(1001):
        report.progress(done, 1000, disk=1)
    report.progress(0, 1000, disk=2)
    report.close()
    first = [event.done for event in heard if event.disk == 1]
    assert first[0] == 0
    assert first[-1] == 1000
    assert len(first) < 20
    assert [event.done for event in heard if event.disk == 2] == [0]
    assert "progress" not in v2v_directory.log(Step.COPY).read_text()


def test_a_disk_is_complete_once(v2v_directory: ConversionDir) -> None:
    """The program that copies tells its end, and then its copier does. A second copy of the disk has an end, too."""
    heard: list[Event] = []
    report = StepReport(v2v_directory, Step.COPY, [heard.append])
    for disk, done in [(1, 0), (2, 10), (1, 10), (1, 10), (2, 10), (1, 3), (1, 10)]:
        report.progress(done, 10, disk=disk)
    report.close()
    assert [(event.disk, event.done) for event in heard if event.done == 10] == [(2, 10), (1, 10), (1, 10)]


def test_full_disk_does_not_end_the_step(v2v_directory: ConversionDir) -> None:
    heard: list[Event] = []
    v2v_directory.log(Step.CONVERT).symlink_to("/dev/full")
    v2v_directory.events.symlink_to("/dev/full")
    report = StepReport(v2v_directory, Step.CONVERT, [heard.append])
    report.message("still here")
    assert [event.text for event in heard] == ["still here"]
    report.close()  # nothing is left in a buffer that would fail once more


def test_log_is_for_this_user_only(v2v_directory: ConversionDir) -> None:
    StepReport(v2v_directory, Step.COPY, []).close()
    modes = {Path(path).stat().st_mode & 0o777 for path in (v2v_directory.log(Step.COPY), v2v_directory.events)}
    assert modes == {0o600}


def test_error_of_a_listener_is_in_the_log(v2v_directory: ConversionDir) -> None:
    def listener(event: Event) -> None:
        raise RuntimeError(f"cannot bear {event.kind}")

    with running(v2v_directory, Step.COPY, [listener]) as report:
        report.message("going on")
    log = v2v_directory.log(Step.COPY).read_text()
    assert "a listener failed" in log
    assert "RuntimeError: cannot bear message" in log


@pytest.fixture
def full_directory(tmp_path: Path) -> Iterator[ConversionDir]:
    """Yield a conversion directory on a file system of its own, which takes nothing more."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=40", "none", place], check=True)
    try:
        directory = ConversionDir.open_or_create(place / "run")
        with contextlib.suppress(OSError), (place / "ballast").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(4096))
        yield directory
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_a_full_conversion_directory_is_named_with_the_remedy(full_directory: ConversionDir) -> None:
    """The mark of a step cannot be written: wazuh/wazuh#14734 has a traceback there, and the process dies."""
    with pytest.raises(V2VError) as failed, running(full_directory, Step.INPUT_SETUP, []):
        raise AssertionError("the step began")
    assert failed.value.message == (
        f"what step input_setup leaves cannot be written: the file system of {full_directory.overlay} is full, "
        "0 KiB are free"
    )
    assert failed.value.hint == (
        "free some space, or set VIRT_V2V_TMPDIR to a directory on a larger file system, and run again"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_a_log_that_cannot_be_made_does_not_keep_the_cleanup_from_its_work(
    full_directory: ConversionDir, tmp_path: Path
) -> None:
    """Every inode is taken as well: arsenetar/dupeguru#332 fails in its own logging then, again and again."""
    with contextlib.suppress(OSError):
        for number in range(100):
            (tmp_path / "small" / str(number)).touch()
    assert cleanup.run(full_directory) == ()
    assert not full_directory.path.exists()


def test_a_log_that_becomes_full_is_cut_and_the_step_goes_on(
    v2v_directory: ConversionDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """telefonicaid/perseo-fe#27: a program that cannot write its log goes on without it."""
    heard: list[Event] = []
    with running(v2v_directory, Step.CONVERT, [heard.append]) as report:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, report.log.fileno())
        os.close(full)
        report.message("no log has this")
    assert kinds(heard) == [EventKind.STEP_STARTED, EventKind.MESSAGE, EventKind.STEP_FINISHED]
