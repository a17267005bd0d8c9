# SPDX-License-Identifier: GPL-2.0-or-later
"""Maps of real servers: qemu-nbd with an overlay, and nbdkit with what servers do to answers."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2v_core.copying.extents import Kind
from v2v_core.copying.source_map import SourceMap, read_map
from v2v_core.copying.task import CopyLimits, CopyTask
from v2v_core.errors import Interrupted, SourceError

MakeTask = Callable[..., CopyTask]

_MIB = 1024 * 1024
_KIB = 1024


@contextlib.contextmanager
def _served(directory: Path, *argv: str) -> Iterator[str]:
    """Run a server, and yield its URI; ``SOCKET`` in its command line stands for its socket."""
    socket = directory / "socket"
    process = subprocess.Popen([word.replace("SOCKET", str(socket)) for word in argv])
    try:
        deadline = time.monotonic() + 20
        while not socket.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield f"nbd+unix:///?socket={socket}"
    finally:
        process.kill()
        process.wait(20)
        socket.unlink(missing_ok=True)


def _nbdkit(directory: Path, *argv: str) -> contextlib.AbstractContextManager[str]:
    return _served(directory, "nbdkit", "--foreground", "--unix", "SOCKET", *argv)


def _of(found: SourceMap) -> list[tuple[int, int, Kind]]:
    listed = [(piece.offset, piece.length, piece.kind) for piece in found]
    assert listed == [(start, end - start, kind) for start, end, kind in found.extents()]
    return listed


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[str]:
    """Serve an overlay: of 8 MiB, the base has data from 1 to 4 MiB, and the overlay wrote and trimmed a part of it."""
    base, overlay = tmp_path / "base.raw", tmp_path / "overlay.qcow2"
    with base.open("wb") as stream:
        stream.truncate(8 * _MIB)
        stream.seek(_MIB)
        stream.write(b"x" * 3 * _MIB)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", overlay], check=True)
    subprocess.run(
        ["qemu-io", "-d", "unmap", "-c", "write -P 7 1M 64k", "-c", "discard 2M 1M", "-c", "write -z 7M 64k", overlay],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with _served(tmp_path, "qemu-nbd", "-r", "-t", "-A", "-f", "qcow2", "-k", "SOCKET", str(overlay)) as uri:
        yield uri


def test_map_says_what_the_overlay_holds(overlay: str, make_task: MakeTask) -> None:
    assert _of(read_map(make_task(source_uri=overlay, size=8 * _MIB))) == [
        (0, _MIB, Kind.ZERO),
        (_MIB, 64 * _KIB, Kind.OVERLAY),
        (_MIB + 64 * _KIB, _MIB - 64 * _KIB, Kind.BASE),
        (2 * _MIB, _MIB, Kind.OVERLAY_ZERO),
        (3 * _MIB, _MIB, Kind.BASE),
        (4 * _MIB, 3 * _MIB, Kind.ZERO),
        (7 * _MIB, 64 * _KIB, Kind.OVERLAY_ZERO),
        (7 * _MIB + 64 * _KIB, _MIB - 64 * _KIB, Kind.ZERO),
    ]


def test_without_a_base_everything_is_of_the_conversion(overlay: str, make_task: MakeTask) -> None:
    assert _of(read_map(make_task(source_uri=overlay, source_overlay=False, size=8 * _MIB))) == [
        (0, _MIB, Kind.OVERLAY_ZERO),
        (_MIB, _MIB, Kind.OVERLAY),
        (2 * _MIB, _MIB, Kind.OVERLAY_ZERO),
        (3 * _MIB, _MIB, Kind.OVERLAY),
        (4 * _MIB, 4 * _MIB, Kind.OVERLAY_ZERO),
    ]


def test_server_that_does_not_say_what_the_overlay_holds(tmp_path: Path, make_task: MakeTask) -> None:
    with _nbdkit(tmp_path, "data", "data=1", f"size={_MIB}") as uri:
        assert {kind for _, _, kind in _of(read_map(make_task(source_uri=uri)))} == {Kind.OVERLAY, Kind.OVERLAY_ZERO}


@pytest.mark.parametrize("overlay_known", [True, False])
def test_server_without_extents_has_only_data(tmp_path: Path, make_task: MakeTask, overlay_known: bool) -> None:
    with _nbdkit(tmp_path, "--no-sr", "memory", str(_MIB)) as uri:
        found = read_map(make_task(source_uri=uri, source_overlay=overlay_known))
    assert _of(found) == [(0, _MIB, Kind.OVERLAY)]


def test_server_with_one_extent_in_each_answer(tmp_path: Path, make_task: MakeTask) -> None:
    # blocks of 64 KiB in turn: data; zeros in a hole; a hole that may hold anything; zeros that are no hole
    script = (
        "case $(( $4 / 65536 % 4 )) in 0) t=;; 1) t=hole,zero;; 2) t=hole;; 3) t=zero;; esac; "
        "echo $4 $(( 65536 - $4 % 65536 )) $t"
    )
    argv = ["eval", f"get_size=echo {_MIB}", "pread=exit 1", "can_extents=exit 0", f"extents={script}"]
    with _nbdkit(tmp_path, *argv) as uri:
        found = read_map(make_task(source_uri=uri, source_overlay=False))
    assert _of(found) == [
        (block * 64 * _KIB, 64 * _KIB, Kind.OVERLAY_ZERO if block % 2 else Kind.OVERLAY) for block in range(16)
    ]


def test_request_that_fails_is_repeated_on_a_new_connection(tmp_path: Path, make_task: MakeTask) -> None:
    trigger = tmp_path / "fail"
    trigger.touch()
    argv = ["--filter=error", "data", "data=1", f"size={_MIB}"]
    errors = ["error-extents=EIO", "error-extents-rate=100%", f"error-extents-file={trigger}"]
    with _nbdkit(tmp_path, *argv, *errors) as uri:
        task = make_task(source_uri=uri, source_overlay=False, limits=CopyLimits(retries=5))
        timer = threading.Timer(0.6, trigger.unlink)
        timer.start()
        found = read_map(task)
        timer.join()
        trigger.touch()
        with pytest.raises(SourceError) as caught:
            read_map(make_task(source_uri=uri, source_overlay=False, limits=CopyLimits(retries=1)))
    assert sum(length for _, length, _ in _of(found)) == _MIB
    assert caught.value.message.startswith(
        "disk 1: the source does not say which of its extents hold data, at byte 0: "
    )
    assert "Input/output error" in caught.value.message
    assert caught.value.hint


def test_server_that_does_not_answer(tmp_path: Path, make_task: MakeTask) -> None:
    argv = ["--filter=delay", "data", "data=1", f"size={_MIB}", "delay-extents=60"]
    with _nbdkit(tmp_path, *argv) as uri:
        limits = CopyLimits(retries=1, request_seconds=0.3)
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"the server has not answered for 0\.3 seconds"):
            read_map(make_task(source_uri=uri, limits=limits))
        assert time.monotonic() - began < 10
        stop = threading.Event()
        timer = threading.Timer(0.3, stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            read_map(make_task(source_uri=uri), stop)
        assert time.monotonic() - began < 5
        timer.join()


def test_server_that_is_not_there(tmp_path: Path, make_task: MakeTask) -> None:
    task = make_task(source_uri=f"nbd+unix:///?socket={tmp_path}/none", limits=CopyLimits(retries=1))
    with pytest.raises(SourceError, match="No such file or directory"):
        read_map(task)


def test_disk_that_is_smaller_than_it_was(tmp_path: Path, make_task: MakeTask) -> None:
    with (
        _nbdkit(tmp_path, "memory", str(_MIB)) as uri,
        pytest.raises(SourceError, match="it has 1048576 bytes, and not 2097152"),
    ):
        read_map(make_task(source_uri=uri, size=2 * _MIB, limits=CopyLimits(retries=2)))


def test_disk_that_is_larger_is_asked_only_as_far_as_needed(tmp_path: Path, make_task: MakeTask) -> None:
    with _nbdkit(tmp_path, "memory", str(4 * _MIB)) as uri:
        found = read_map(make_task(source_uri=uri, source_overlay=False, size=_MIB + 512))
    assert _of(found) == [(0, _MIB + 512, Kind.OVERLAY_ZERO)]


def test_empty_disk_is_not_asked(make_task: MakeTask) -> None:
    assert _of(read_map(make_task(source_uri="nbd+unix:///?socket=/nonexistent", size=0))) == []
