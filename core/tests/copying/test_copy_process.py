# SPDX-License-Identifier: GPL-2.0-or-later
"""What the copy step makes of what a copy process says. The process is a simulator that says what the test wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from v2v_core.copying import copy_process
from v2v_core.copying.copy_process import copy_disk
from v2v_core.copying.messages import Cause, CopyMessage
from v2v_core.copying.task import CopyPass, CopyTask, DestinationEnd, SourceEnd
from v2v_core.errors import CopyError
from v2v_core.hookspecs import CopyResult
from v2v_core.records import from_json, to_json
from v2v_core.testing import FakeReporter
from v2v_core.testing.fixtures import Install

Simulate = Callable[..., None]

SIMULATOR = """
    import json, os, signal, sys
    task = sys.stdin.read()
    script = json.load(open({script!r}))
    open({script!r} + ".task", "w").write(task)
    for line in script["lines"]:
        os.write(int(sys.argv[1]), (line + "\\n").encode())
    sys.stderr.write(script["stderr"])
    sys.stderr.flush()
    if script["signal"]:
        os.kill(os.getpid(), script["signal"])
    sys.exit(script["status"])
"""


@pytest.fixture
def task(tmp_path: Path) -> CopyTask:
    return CopyTask(
        index=3,
        size=1 << 20,
        source=SourceEnd(uri="nbd://source", base="nbd://base", overlay=True, identity="s", version="7"),
        destination=DestinationEnd(uri="nbd://destination", file=tmp_path / "out", identity="d"),
        place=tmp_path,
        copy_pass=CopyPass.BASE,
        conversion="c",
        epoch=4,
    )


@pytest.fixture
def simulate(v2v_install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Simulate:
    """Return a function that says what the process writes, and how it ends."""
    script = tmp_path / "script"
    v2v_install("v2v-t", {}, {"t_worker_simulator": dedent(SIMULATOR.format(script=str(script)))})
    monkeypatch.setattr(copy_process, "_WORKER", "t_worker_simulator")

    def prepare(*messages: CopyMessage | str, stderr: str = "", status: int = 0, signal: int = 0) -> None:
        lines = [message if isinstance(message, str) else json.dumps(to_json(message)) for message in messages]
        script.write_text(json.dumps({"lines": lines, "stderr": stderr, "status": status, "signal": signal}))

    return prepare


def test_task_arrives_and_the_result_comes_back(task: CopyTask, simulate: Simulate, tmp_path: Path) -> None:
    simulate(CopyMessage(finished=True, copied=10, zeroed=20, digest="ab", verified=True))
    result = copy_disk(task, FakeReporter())
    assert result == CopyResult(index=3, size=1 << 20, copied=10, zeroed=20, digest="ab", verified=True)
    assert from_json(json.loads((tmp_path / "script.task").read_text()), CopyTask) == task


def test_progress_counts_the_bytes_that_move_and_warnings_name_the_disk(task: CopyTask, simulate: Simulate) -> None:
    simulate(
        CopyMessage(done=0, total=400),
        CopyMessage(done=100, total=400),
        CopyMessage(warning="a read failed and was repeated"),
        CopyMessage(debug="four connections"),
        CopyMessage(finished=True),
    )
    report = FakeReporter()
    copy_disk(task, report)
    assert report.progresses == [(0, 400, 3), (100, 400, 3), (400, 400, 3)]
    assert report.warnings == ["disk 3: a read failed and was repeated"]


def test_disk_without_data_is_complete(task: CopyTask, simulate: Simulate) -> None:
    simulate(CopyMessage(done=0, total=0), CopyMessage(finished=True))
    report = FakeReporter()
    copy_disk(task, report)
    assert report.progresses == [(1 << 20, 1 << 20, 3)]


@pytest.mark.parametrize(
    ("message", "expected", "hint"),
    [
        (
            CopyMessage(failed="no space left on device", cause=Cause.FULL, missing=3 << 20),
            "disk 3 could not be copied: no space left on device; 3 MiB (3145728 bytes) are still to be written",
            "v2v resume",
        ),
        (
            CopyMessage(failed="the source says EIO", cause=Cause.SOURCE, offset=65536),
            "disk 3 could not be copied at byte 65536: the source says EIO",
            "in1",
        ),
        (
            CopyMessage(failed="writing at 65536 failed", cause=Cause.DESTINATION, offset=65536),
            "disk 3 could not be copied: writing at 65536 failed",
            "out1",
        ),
        (CopyMessage(failed="the source is another one", cause=Cause.CHANGED), "another one", "begin again"),
        (CopyMessage(failed="taken over", cause=Cause.FENCED), "taken over", "another process"),
        (CopyMessage(failed="it differs", cause=Cause.MISMATCH, offset=0), "at byte 0: it differs", "storage"),
        (CopyMessage(failed="odd", cause=Cause.OTHER), "odd", "log"),
        (CopyMessage(failed="odd", cause=Cause.SOURCE, hint="wait for it"), "odd", "wait for it"),
    ],
)
def test_failure_has_disk_cause_offset_and_hint(
    task: CopyTask, simulate: Simulate, message: CopyMessage, expected: str, hint: str
) -> None:
    simulate(CopyMessage(done=1, total=2), message, status=1)
    with pytest.raises(CopyError) as failed:
        copy_disk(task, FakeReporter())
    assert expected in failed.value.message
    assert hint in (failed.value.hint or "")
    assert (failed.value.disk, failed.value.cause, failed.value.offset) == (3, message.cause, message.offset)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stderr": "Traceback\nMemoryError: 7\n", "status": 1}, "ended with exit status 1: MemoryError: 7"),
        ({"signal": 9}, "was killed by signal 9"),
        # a process that says nothing has copied nothing, whatever its exit status
        ({}, "ended with exit status 0"),
    ],
)
def test_process_that_ends_without_a_word_is_a_failure(
    task: CopyTask, simulate: Simulate, fields: dict[str, object], expected: str
) -> None:
    simulate(CopyMessage(done=1, total=2), **fields)
    with pytest.raises(CopyError, match="disk 3 could not be copied: ") as failed:
        copy_disk(task, FakeReporter())
    assert expected in failed.value.message
    assert failed.value.cause is None


def test_finished_and_a_bad_exit_status_is_a_failure(task: CopyTask, simulate: Simulate) -> None:
    simulate(CopyMessage(finished=True), status=1)
    with pytest.raises(CopyError, match="exit status 1"):
        copy_disk(task, FakeReporter())


def test_lines_that_are_no_messages_are_passed_over(task: CopyTask, simulate: Simulate) -> None:
    whole = json.dumps(to_json(replace(CopyMessage(), finished=True, copied=5)))
    simulate("[]", '{"done": "x"}', whole, '{"done": 1, "tot')
    assert copy_disk(task, FakeReporter()).copied == 5
