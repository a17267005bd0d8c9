# SPDX-License-Identifier: GPL-2.0-or-later
"""The watch listens to a simulated qemu, which is a process of its own, and ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_convert_guestfs import appliance_health, appliance_watch
from v2v_convert_guestfs.appliance_health import Health
from v2v_convert_guestfs.appliance_watch import Watch

#: Connects to the socket as qemu does, answers, and reports what its other arguments say, one after the other.
QEMU = r"""
import json, socket, sys, threading, time
monitor = socket.socket(socket.AF_UNIX)
monitor.connect(sys.argv[1])
monitor.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\r\n')
def answer():
    for line in monitor.makefile("rb"):
        word = json.loads(line)["execute"]
        said = {"query-status": {"status": "running"}, "query-blockstats": [{"stats": {"failed_wr_operations": 1}}]}
        monitor.sendall(json.dumps({"return": said.get(word, {})}).encode() + b"\r\n")
threading.Thread(target=answer, daemon=True).start()
for word in sys.argv[2:]:
    time.sleep(0.3)
    monitor.sendall(word.encode())
time.sleep(60)
"""
FULL = '{"event": "BLOCK_IO_ERROR", "data": {"device": "hd0", "nospace": true, "operation": "write"}}\r\n'
LOST = '{"event": "BLOCK_IO_ERROR", "data": {"device": "hd0", "operation": "write", "reason": "Bad"}}\r\n'


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    health = Health(shortage=lambda disk: (f"no space for {disk}", "make some"), log=lambda _text: None)
    watched = Watch(tmp_path, health)
    yield watched
    watched.close()
    assert list(tmp_path.iterdir()) == []


def qemu(watch: Watch, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", QEMU, watch.socket, *words])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((FULL,), "disk 1 cannot be written: no space for 1"),
        (("nonsense\r\n[]\r\n", FULL[:30], FULL[30:]), "disk 1 cannot be written: no space for 1"),
        ((LOST,), "disk 1 cannot be written: Bad"),
    ],
    ids=["full", "in pieces", "lost"],
)
def test_a_disk_that_cannot_be_written_ends_qemu(watch: Watch, words: tuple[str, ...], expected: str) -> None:
    with qemu(watch, *words) as process:
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert str(watch.health.failure) == expected


def test_a_qemu_that_was_stopped_is_ended(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appliance_health, "STOPPED_LIMIT", 3)
    with qemu(watch) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
        assert process.wait(timeout=20) == -signal.SIGKILL
    assert "was stopped" in str(watch.health.failure)


def test_a_qemu_that_works_is_left_alone(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appliance_health, "SILENCE_LIMIT", 3)
    monkeypatch.setattr(appliance_watch, "_INTERVAL", 1)
    with qemu(watch) as process:
        time.sleep(5)
        assert process.poll() is None
        process.kill()
    assert watch.health.failure is None


def test_what_was_reported_last_is_heard(tmp_path: Path) -> None:
    watched = Watch(tmp_path, Health(shortage=lambda _disk: ("full", ""), log=lambda _text: None))
    script = QEMU.replace("time.sleep(60)", "").replace("time.sleep(0.3)", "")
    subprocess.run([sys.executable, "-c", script, watched.socket, FULL], check=False)
    watched.close()
    assert str(watched.health.failure) == "disk 1 cannot be written: full"


def test_a_watch_that_no_qemu_has_come_to_ends(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    watched = Watch(tmp_path, Health(shortage=lambda _disk: ("", ""), log=lambda _text: None))
    watched.close()
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert "appliance-watch" not in {thread.name for thread in threading.enumerate()}


def test_the_socket_may_lie_deeper_than_the_path_of_a_socket_is_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / "a,b"
    deep.mkdir(parents=True)
    watched = Watch(deep, Health(shortage=lambda _disk: ("full", ""), log=lambda _text: None))
    with qemu(watched, FULL) as process:
        assert process.wait(timeout=20) == -signal.SIGKILL
    watched.close()
    assert "," not in watched.socket
