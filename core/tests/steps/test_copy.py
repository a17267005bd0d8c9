# SPDX-License-Identifier: GPL-2.0-or-later
"""The copy step around its copy processes: both passes, servers that end, sources that change.

The copy process is a simulator: it copies with nbdcopy, and keeps no journal. The real one has tests of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import threading
import time
from pathlib import Path
from textwrap import dedent

import pytest

from v2v_core import locks, processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying import copy_process
from v2v_core.copying.messages import Cause
from v2v_core.errors import CopyError, Interrupted, UsageError
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import NbdkitPlugin
from v2v_core.settings import CopyChoice, InputChoice, RunChoice
from v2v_core.steps import convert, copy, copy_servers, input_setup, output_check, output_setup, trimming
from v2v_core.steps.alone import run_alone
from v2v_core.supervision import start_step, status
from v2v_core.testing import MARKER, read_endpoint
from v2v_core.testing.fixtures import Install

BASE = CopyChoice(from_base=True)

SIMULATOR = """
    import json, os, signal, subprocess, sys, time
    task = json.load(sys.stdin)
    index = task["index"]
    def say(**message):
        os.write(int(sys.argv[1]), (json.dumps(message) + "\\n").encode())
    order = os.environ.get(f"SIMULATE_{index}", "")
    with open(os.path.join(task["place"], "simulated"), "a") as log:
        log.write(json.dumps(task) + "\\n")
    if order == "hang":
        def stop(*_):
            open(os.path.join(task["place"], f"stopped{index}"), "w").close()
            sys.exit(1)
        signal.signal(signal.SIGTERM, stop)
        open(os.path.join(task["place"], f"hangs{index}"), "w").close()
        time.sleep(60)
    if order == "full":
        say(failed="no space left on device", cause="full", missing=4096)
        sys.exit(1)
    source = task["source"]
    uri = source["base"] if task.get("copy_pass") == "base" else source["uri"]
    done = subprocess.run(["nbdcopy", "--flush", uri, task["destination"]["uri"]], capture_output=True, text=True)
    if done.returncode:
        say(failed=done.stderr.strip().splitlines()[-1], cause="source")
        sys.exit(1)
    say(done=4096, total=4096)
    say(finished=True, copied=4096, digest="ab" * 32)
"""


@pytest.fixture(autouse=True)
def simulator(v2v_install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    v2v_install("v2v-t", {}, {"t_copy_simulator": dedent(SIMULATOR)})
    monkeypatch.setattr(copy_process, "_WORKER", "t_copy_simulator")
    monkeypatch.setattr(copy, "PATIENCE", 0.3)
    monkeypatch.setattr(copy_servers, "_PAUSES", (0.1, 0.1, 0.1))
    monkeypatch.setattr(copy_servers, "_INTERVAL", 0.2)


@pytest.fixture
def ready(choice: RunChoice, v2v_directory: ConversionDir) -> ConversionDir:
    """Return a directory with input and output set up, and a guest that is not converted."""
    input_setup.run(v2v_directory, choice.input)
    output_check.run(v2v_directory, choice.output)
    output_setup.run(v2v_directory, choice.output)
    return v2v_directory


def tasks(directory: ConversionDir) -> list[dict[str, object]]:
    """Return the tasks that the simulator was given so far."""
    return [json.loads(line) for line in (directory.path / "copy" / "simulated").read_text().splitlines()]


def disks(storage: Path) -> list[bytes]:
    return [(storage / f"new name-disk{index}").read_bytes() for index in (1, 2)]


def source_bytes(directory: ConversionDir, kind: str) -> list[bytes]:
    uris = [getattr(disk, kind) for disk in served.read_source(directory).disks]
    return [read_endpoint(uri) for uri in uris]


def test_base_is_copied_before_the_conversion_and_its_result_afterwards(
    ready: ConversionDir, choice: RunChoice, storage: Path
) -> None:
    heard: list[Event] = []
    results = copy.run(ready, BASE, [heard.append])
    assert [result.index for result in results] == [1, 2]
    assert disks(storage) == source_bytes(ready, "base")
    # the step is not done by this, and a supervisor that follows the events does not take it for done
    assert Step.COPY not in ready.done()
    assert not {event.kind for event in heard} & {EventKind.STEP_STARTED, EventKind.STEP_FINISHED}
    assert not (ready.path / copy.RESULTS).exists()
    now = status(ready.path)
    assert Step.COPY not in now.done | now.running | now.interrupted
    assert Step.COPY in now.ready
    convert.run(ready, choice.convert)
    copy.run(ready, CopyChoice())
    assert disks(storage) == source_bytes(ready, "uri")
    assert all(content.startswith(MARKER) for content in disks(storage))
    assert Step.COPY in ready.done()
    first, second = tasks(ready)[0], tasks(ready)[-1]
    assert (first["copy_pass"], first.get("conversion", "")) == ("base", "")
    assert "copy_pass" not in second
    assert second["conversion"]


def test_results_are_left_for_the_report(ready: ConversionDir, choice: RunChoice) -> None:
    convert.run(ready, choice.convert)
    copy.run(ready, CopyChoice())
    written = ready.read_json(copy.RESULTS)["results"]
    assert [(result["index"], result["copied"], result["digest"]) for result in written] == [
        (1, 4096, "ab" * 32),
        (2, 4096, "ab" * 32),
    ]


def test_base_is_copied_beside_the_conversion_once_it_has_trimmed(
    ready: ConversionDir, choice: RunChoice, v2v_install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    v2v_install(
        "v2v-convert-t",
        {"v2v.convert": {"t-slow": "t_slow:Slow"}},
        {
            "t_slow": "import time\nfrom pathlib import Path\nfrom v2v_core.api import *\n"
            "from v2v_core.testing import FakeConvert\n"
            "class Slow(FakeConvert):\n @hookimpl\n def v2v_convert(self, request):\n"
            "  time.sleep(1); request.report.trimmed()\n"
            "  copied = request.directory.parent / 'copy' / 'simulated'\n"
            "  deadline = time.monotonic() + 20\n"
            "  while not copied.exists() and time.monotonic() < deadline: time.sleep(0.05)\n"
            "  return super().v2v_convert(request)\n"
        },
    )
    slow = dataclasses.replace(choice.convert, mode="t-slow")
    conversion = start_step(ready.path, Step.CONVERT, slow)
    # as a supervisor does it that runs the copy in its own process
    monkeypatch.setattr(copy, "PATIENCE", 20)
    with locks.held_for_a_step(ready, Step.COPY, from_base=True):
        assert len(copy.run(ready, BASE)) == 2
    assert conversion.wait(30).succeeded
    events = [json.loads(line) for line in ready.events.read_text().splitlines()]
    trimmed = next(event["time"] for event in events if event["kind"] == "trimmed")
    copied = [event["time"] for event in events if event["kind"] == "progress" and event["step"] == "copy"]
    converted = [event["time"] for event in events if event["kind"] == "step_finished" and event["step"] == "convert"]
    assert trimmed < min(copied) < converted[-1]


def test_nothing_is_copied_if_the_conversion_fails_before_it_has_trimmed(
    ready: ConversionDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copy, "wait_for_trimming", lambda *_, **_more: trimming.Trimming.FAILED)
    heard: list[Event] = []
    assert copy.run(ready, BASE, [heard.append]) == ()
    assert [event.text for event in heard if event.kind is EventKind.INFO] == [
        "the conversion failed before it had found the free space: nothing was copied"
    ]


@pytest.mark.parametrize("mode", ["fake", "nbdcopy"])
def test_program_that_copies_whole_disks_copies_nothing_before_the_conversion(
    ready: ConversionDir, storage: Path, mode: str
) -> None:
    before = disks(storage)
    assert copy.run(ready, CopyChoice(from_base=True, mode=mode)) == ()
    assert disks(storage) == before


def test_destination_that_a_program_has_written_no_longer_reads_as_zeros(
    ready: ConversionDir, choice: RunChoice
) -> None:
    assert served.read_output(ready).zeroed
    convert.run(ready, choice.convert)
    copy.run(ready, CopyChoice(mode="nbdcopy"))
    assert not served.read_output(ready).zeroed


def test_base_is_not_copied_without_its_steps(choice: RunChoice, v2v_directory: ConversionDir) -> None:
    input_setup.run(v2v_directory, choice.input)
    with pytest.raises(UsageError, match="needs step output_setup"):
        copy.run(v2v_directory, BASE)


def test_copy_of_the_base_alone_is_refused_beside_the_copy(ready: ConversionDir) -> None:
    with (
        locks.held_for_a_step(ready, Step.COPY),
        pytest.raises(UsageError, match="is in use"),
    ):
        run_alone(ready.path, Step.COPY, BASE)


def test_failure_stops_the_other_copies_in_good_order(ready: ConversionDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """They write down what they have copied."""
    monkeypatch.setenv("SIMULATE_1", "hang")
    monkeypatch.setenv("SIMULATE_2", "full")
    with pytest.raises(CopyError) as failed:
        copy.run(ready, CopyChoice(parallel=2, from_base=True))
    assert (failed.value.disk, failed.value.cause) == (2, Cause.FULL)
    assert "resume" in (failed.value.hint or "")
    assert (ready.path / "copy" / "stopped1").exists() == (ready.path / "copy" / "hangs1").exists()
    assert not [process for process in processes.find(ready.path) if process.server is None]
    assert len([task for task in tasks(ready) if task["index"] == 2]) == 1, "it must not be tried again"


@pytest.mark.parametrize("from_base", [False, True])
def test_caller_can_stop_the_copy(ready: ConversionDir, monkeypatch: pytest.MonkeyPatch, from_base: bool) -> None:
    monkeypatch.setenv("SIMULATE_1", "hang")
    stop = threading.Event()

    def stop_when_it_hangs() -> None:
        deadline = time.monotonic() + 20
        while not (ready.path / "copy" / "hangs1").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        stop.set()

    thread = threading.Thread(target=stop_when_it_hangs)
    thread.start()
    heard: list[Event] = []
    if from_base:
        # the usual end of a copy beside a conversion that was faster
        assert copy.run(ready, BASE, [heard.append], stop=stop) == ()
        assert EventKind.STEP_FAILED not in {event.kind for event in heard}
    else:
        with pytest.raises(Interrupted):
            copy.run(ready, CopyChoice(), [heard.append], stop=stop)
    thread.join()
    assert (ready.path / "copy" / "stopped1").exists()
    assert not [process for process in processes.find(ready.path) if process.server is None]


def kill_servers(directory: ConversionDir, *names: str) -> None:
    processes.stop(directory.path, lambda process: process.server in names, grace=0.0)


@pytest.mark.parametrize("names", [("base1",), ("out1",), ("base1", "out2"), ("base1", "in1", "out1")])
def test_servers_that_ended_are_started_again_and_the_copy_goes_on(
    ready: ConversionDir, choice: RunChoice, storage: Path, names: tuple[str, ...]
) -> None:
    convert.run(ready, choice.convert)
    expected = source_bytes(ready, "uri")
    kill_servers(ready, *names)
    heard: list[Event] = []
    copy.run(ready, CopyChoice(), [heard.append])
    assert disks(storage) == expected
    warnings = " ".join(event.text for event in heard if event.kind is EventKind.WARNING)
    assert all(f"{name}" in warnings for name in names)
    assert "was started again" in warnings


def test_conversion_without_its_disk_is_not_helped_by_the_copy_of_the_base(ready: ConversionDir) -> None:
    kill_servers(ready, "in1", "base1")
    with pytest.raises(CopyError, match="disk 1 could not be copied"):
        copy.run(ready, BASE)


def test_server_that_ends_again_and_again_fails_the_copy(
    ready: ConversionDir, choice: RunChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copy_servers.copy_disk

    def kill_first(*arguments: object) -> object:
        kill_servers(ready, "out1")
        return real(*arguments)  # type: ignore[arg-type]

    convert.run(ready, choice.convert)
    monkeypatch.setattr(copy_servers, "copy_disk", kill_first)
    heard: list[Event] = []
    with pytest.raises(CopyError, match="disk 1 could not be copied"):
        copy.run(ready, CopyChoice(), [heard.append])
    assert len([event for event in heard if event.kind is EventKind.WARNING]) == 3


@pytest.mark.parametrize("from_base", [False, True])
def test_source_that_was_written_meanwhile_is_refused(
    choice: RunChoice, v2v_directory: ConversionDir, v2v_disk: Path, from_base: bool
) -> None:
    input_setup.run(v2v_directory, InputChoice(mode="fake", arguments=(str(v2v_disk),)))
    output_check.run(v2v_directory, choice.output)
    output_setup.run(v2v_directory, choice.output)
    convert.run(v2v_directory, choice.convert)
    os.utime(v2v_disk, ns=(1, 1))
    with pytest.raises(CopyError, match=rf"disk 1 could not be copied: its source {v2v_disk} has changed") as failed:
        copy.run(v2v_directory, CopyChoice(from_base=from_base))
    assert (failed.value.disk, failed.value.cause) == (1, Cause.CHANGED)
    assert not (v2v_directory.path / "copy" / "simulated").exists()


def test_without_libnbd_nbdcopy_copies_and_a_warning_says_what_is_lost(
    ready: ConversionDir, choice: RunChoice, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    convert.run(ready, choice.convert)
    heard: list[Event] = []
    copy.run(ready, CopyChoice(), [heard.append])
    assert disks(storage) == source_bytes(ready, "uri")
    (warning,) = [event.text for event in heard if event.kind is EventKind.WARNING]
    assert "v2v doctor" in warning


@pytest.mark.parametrize(
    ("services", "asked", "expected"),
    [
        ((False,), None, 1),
        ((False, False), None, 1),
        ((True,), None, 1),
        ((True, True, True), None, 3),
        ((True,) * 9, None, 4),
        ((True,) * 9, 7, 7),
        ((False, False), 2, 2),
    ],
)
def test_disks_of_remote_sources_are_copied_at_the_same_time(
    services: tuple[bool, ...], asked: int | None, expected: int
) -> None:
    source = served.ServedSource(
        disks=tuple(
            served.ServedDisk(index=i, size=1, uri="", service=NbdkitPlugin(name="curl", remote=remote))
            for i, remote in enumerate(services, start=1)
        )
    )
    assert copy._parallel(CopyChoice(parallel=asked), source) == expected
