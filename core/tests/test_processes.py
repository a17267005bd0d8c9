# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes of a run are found by their mark and always stopped; no others are touched."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2v_core import processes
from v2v_core.processes import DIRECTORY_VARIABLE, SERVER_VARIABLE

Start = Callable[..., "subprocess.Popen[bytes]"]
_DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"


@pytest.fixture
def directory(v2v_short_path: Path) -> Path:
    return v2v_short_path


@pytest.fixture
def start(directory: Path, v2v_leftovers: None) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(*argv: str, mark: str | None = str(directory), server: str | None = None) -> subprocess.Popen[bytes]:
        env = dict(os.environ)
        if mark is not None:
            env[DIRECTORY_VARIABLE] = mark
        if server is not None:
            env[SERVER_VARIABLE] = server
        process = subprocess.Popen(argv or ("sleep", "60"), env=env, stdout=subprocess.PIPE)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def everything(_process: processes.RunProcess) -> bool:
    return True


def test_marked_processes_are_found_with_what_they_serve(start: Start, directory: Path) -> None:
    server, worker = start(server="in1"), start()
    start(mark=None)
    start(mark=f"{directory}-other")
    start(mark=str(directory.parent))
    assert set(processes.find(directory)) == {
        processes.RunProcess(server.pid, "in1"),
        processes.RunProcess(worker.pid, None),
    }


def test_grandchildren_in_a_session_of_their_own_are_found(start: Start, directory: Path) -> None:
    shell = start("sh", "-c", "setsid sleep 60 & echo $!; wait")
    assert shell.stdout is not None
    grandchild = int(shell.stdout.readline())
    assert {process.pid for process in processes.find(directory)} >= {shell.pid, grandchild}
    processes.stop(directory, everything)
    assert processes.find(directory) == ()


def test_marked_are_stopped_and_the_others_live(start: Start, directory: Path) -> None:
    mine, stranger = start(), start(mark=None)
    processes.stop(directory, everything, grace=5)
    assert ended(mine)
    assert not ended(stranger)


def test_server_that_was_stopped_does_not_become_a_zombie(directory: Path, v2v_leftovers: None) -> None:
    environment = {**os.environ, DIRECTORY_VARIABLE: str(directory), SERVER_VARIABLE: "in1"}
    pid = os.posix_spawnp("sleep", ["sleep", "60"], environment)
    processes.stop(directory, everything)
    assert not Path(f"/proc/{pid}").exists()


def test_status_of_a_worker_that_was_stopped_is_left_to_its_popen(start: Start, directory: Path) -> None:
    """Popen takes a status that other code has fetched for success: a killed copy would seem to have succeeded."""
    worker = start()
    processes.stop(directory, everything)
    assert worker.wait() == -signal.SIGTERM


def test_only_the_chosen_processes_are_stopped(start: Start, directory: Path) -> None:
    in1, out1, base1, worker = start(server="in1"), start(server="out1"), start(server="base1"), start()
    processes.stop(directory, processes.serves("out"))
    assert [ended(p) for p in (in1, out1, base1, worker)] == [False, True, False, False]
    processes.stop(directory, lambda process: process.server is None)
    assert [ended(p) for p in (in1, base1, worker)] == [False, False, True]
    processes.stop(directory, processes.serves("in", "base"))
    assert ended(in1)
    assert ended(base1)


def test_warden_outlives_the_run(start: Start, directory: Path) -> None:
    warden, server = start(server="warden"), start(server="in1")
    processes.stop(directory, processes.is_gone_with_the_run)
    assert [ended(warden), ended(server)] == [False, True]


def test_process_that_ignores_sigterm_is_killed_after_the_grace_period(start: Start, directory: Path) -> None:
    deaf = start(sys.executable, "-c", _DEAF)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    began = time.monotonic()
    processes.stop(directory, everything, grace=0.5)
    assert ended(deaf)
    assert 0.4 < time.monotonic() - began < 5


def test_suspended_process_is_killed_after_the_grace_period(start: Start, directory: Path) -> None:
    frozen = start()
    os.kill(frozen.pid, signal.SIGSTOP)
    processes.stop(directory, everything, grace=0.3)
    assert ended(frozen)


def test_nothing_to_stop_takes_no_time(directory: Path) -> None:
    began = time.monotonic()
    processes.stop(directory, everything, grace=10)
    assert time.monotonic() - began < 1


def test_process_that_is_started_during_the_stop_is_stopped_too(start: Start, directory: Path) -> None:
    phoenix = start("sh", "-c", "trap 'sleep 60 & exit' TERM; echo; while :; do sleep 0.05; done")
    assert phoenix.stdout is not None
    phoenix.stdout.readline()
    processes.stop(directory, everything, grace=2)
    assert processes.find(directory) == ()


def test_this_process_and_its_ancestors_are_never_found(directory: Path, start: Start) -> None:
    code = (
        "import pathlib, sys; from v2v_core import processes; "
        "print(len(processes.find(pathlib.Path(sys.argv[1]))), flush=True)"
    )
    shell = start("sh", "-c", f'{sys.executable} -c "{code}" {directory}; :')
    assert shell.stdout is not None
    assert shell.stdout.readline() == b"0\n"


_BINDS = """
import pathlib, socket, sys, time
path = pathlib.Path(sys.argv[1])
path.parent.mkdir(exist_ok=True)
s = socket.socket(socket.AF_UNIX)
s.bind(str(path))
print(flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("place", "is_removed"), [("d/in1", True), ("libguestfsXXXX/guestfsd.sock", True), ("elsewhere/socket", False)]
)
def test_sockets_are_removed_with_their_process_if_they_belong_to_the_run(
    start: Start, directory: Path, place: str, is_removed: bool
) -> None:
    path, run = directory / place, directory / "d"
    process = start(sys.executable, "-c", _BINDS, str(path), mark=str(run))
    assert process.stdout is not None
    process.stdout.readline()
    assert processes.bound_sockets([process.pid]) == (path,)
    processes.stop(run, everything)
    assert path.exists() is not is_removed
    if place.startswith("libguestfs"):
        assert not path.parent.exists()


def test_no_processes_have_no_sockets() -> None:
    assert processes.bound_sockets([2**22 - 1]) == ()
    left, right = socket.socketpair()
    with left, right:
        assert processes.bound_sockets([os.getpid()]) == processes.bound_sockets([os.getpid(), os.getpid()])
