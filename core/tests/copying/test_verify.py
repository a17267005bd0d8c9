# SPDX-License-Identifier: GPL-2.0-or-later
"""A destination is read back from real servers and files: what differs is found, and what cannot be read is said."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from v2v_core.copying.hashes import BLOCK, HashFile
from v2v_core.copying.read_back import Range, Stopped
from v2v_core.copying.sink import Sink
from v2v_core.copying.task import CopyLimits, CopyTask, DestinationEnd, SourceEnd
from v2v_core.copying.verify import Verifier, open_read_back, verify
from v2v_core.errors import DestinationError

MIB = 1024**2
SIZE = 24 * MIB + 4096
Serve = Callable[..., str]


def content() -> bytearray:
    """Return a disk with data, zeros, half blocks, and a last block that is short."""
    disk = bytearray(SIZE)
    noise = random.Random(1)  # noqa: S311 - no secret
    for offset, length in ((0, 3 * MIB), (5 * MIB + 512, 100), (8 * MIB, 7 * MIB), (SIZE - 512, 512)):
        disk[offset : offset + length] = noise.randbytes(length)
    return disk


@dataclass
class Disk:
    """A destination as it was written, and the hashes that were taken meanwhile."""

    path: Path
    hashes: HashFile
    bytes: bytearray = field(repr=False)

    def change(self, offset: int, data: bytes = b"") -> None:
        """Change a byte, as a destination does that must not be trusted."""
        with self.path.open("r+b") as file:
            file.seek(offset)
            file.write(data or bytes([self.bytes[offset] ^ 1]))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    written = content()
    path = tmp_path / "out.img"
    path.write_bytes(bytes(SIZE))
    subprocess.run(["fallocate", "-p", "-o", "0", "-l", str(SIZE), path], check=True)
    with path.open("r+b") as file:
        for offset in range(0, SIZE, BLOCK):
            if any(written[offset : offset + BLOCK]):
                file.seek(offset)
                file.write(written[offset : offset + BLOCK])
    hashes = HashFile(tmp_path / "hashes1", SIZE)
    hashes.take(0, memoryview(bytes(written)))
    yield Disk(path, hashes, written)
    hashes.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start an NBD server and return its URI."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str, socket: Path | None = None) -> str:
        socket = socket or tmp_path / f"socket{len(started)}"
        program = [word.format(socket=socket) for word in argv]
        started.append(subprocess.Popen(program, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        while not socket.exists():
            assert started[-1].poll() is None
            time.sleep(0.01)
        return f"nbd+unix:///?socket={socket}"

    yield start
    for process in started:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


def nbdkit(path: Path, *more: str) -> list[str]:
    filters = [word for word in more if word.startswith("--filter")]
    rest = [word for word in more if not word.startswith("--filter")]
    return ["nbdkit", "-f", "-U", "{socket}", *filters, "file", str(path), *rest]


def task(tmp_path: Path, uri: str = "", *, file: Path | None = None, limits: CopyLimits | None = None) -> CopyTask:
    return CopyTask(
        index=1,
        size=SIZE,
        source=SourceEnd(uri=""),
        destination=DestinationEnd(uri=uri, file=file),
        place=tmp_path,
        limits=limits or CopyLimits(),
    )


@pytest.fixture(params=["file", "nbdkit", "qemu-nbd", "one connection"])
def verified(request: pytest.FixtureRequest, disk: Disk, serve: Serve, tmp_path: Path) -> Callable[[], list[Range]]:
    """Return a function that verifies the disk in one of the ways in which it can be read."""

    def run() -> list[Range]:
        if request.param == "file":
            return verify(task(tmp_path, file=disk.path), disk.hashes)
        argv = {
            "nbdkit": nbdkit(disk.path),
            "qemu-nbd": ["qemu-nbd", "-t", "-e0", "-f", "raw", "-k", "{socket}", str(disk.path)],
            "one connection": nbdkit(disk.path, "--filter=multi-conn", "multi-conn-mode=disable"),
        }[request.param]
        return verify(task(tmp_path, serve(*argv)), disk.hashes)

    return run


def test_what_was_written_right_is_right(verified: Callable[[], list[Range]]) -> None:
    assert verified() == []


def test_each_changed_byte_is_found(verified: Callable[[], list[Range]], disk: Disk) -> None:
    # in data, in a block that was never written, in the half of a block, and in the short last block
    for offset in (2 * MIB + 5, 6 * MIB + 1, 5 * MIB + 50_000, 9 * MIB, 9 * MIB + BLOCK, SIZE - 4096):
        disk.change(offset)
    assert verified() == [
        (2 * MIB, BLOCK),
        (5 * MIB, BLOCK),
        (6 * MIB, BLOCK),
        (9 * MIB, 2 * BLOCK),
        (24 * MIB, 4096),
    ]


def test_data_that_became_a_hole_is_found(verified: Callable[[], list[Range]], disk: Disk) -> None:
    subprocess.run(["fallocate", "-p", "-o", str(8 * MIB), "-l", str(4 * MIB), disk.path], check=True)
    subprocess.run(["fallocate", "-p", "-o", str(24 * MIB), "-l", "4096", disk.path], check=True)
    assert verified() == [(8 * MIB, 4 * MIB), (24 * MIB, 4096)]


def test_zeros_that_are_written_are_zeros(verified: Callable[[], list[Range]], disk: Disk) -> None:
    disk.change(16 * MIB, bytes(2 * MIB))
    assert verified() == []


def test_a_shorter_file_is_no_success(disk: Disk, tmp_path: Path) -> None:
    os.truncate(disk.path, SIZE - 512)
    with pytest.raises(DestinationError, match=f"has {SIZE - 512} bytes"):
        verify(task(tmp_path, file=disk.path), disk.hashes)


@pytest.mark.parametrize("more", [(), ("--filter=multi-conn", "multi-conn-mode=disable")], ids=["several", "one"])
def test_reads_that_fail_once_are_repeated(disk: Disk, serve: Serve, tmp_path: Path, more: tuple[str, ...]) -> None:
    disk.change(9 * MIB)
    uri = serve(*nbdkit(disk.path, "--filter=error", *more, "error-pread-rate=20%"))
    limits = CopyLimits(retries=20)
    assert verify(task(tmp_path, uri, limits=limits), disk.hashes) == [(9 * MIB, BLOCK)]


def test_a_read_that_always_fails_names_the_offset(disk: Disk, serve: Serve, tmp_path: Path) -> None:
    uri = serve(*nbdkit(disk.path, "--filter=error", "error-pread=EIO", "error-pread-rate=100%"))
    with pytest.raises(DestinationError, match=r"cannot be read back at offset \d+: .*Input/output error"):
        verify(task(tmp_path, uri, limits=CopyLimits(retries=1)), disk.hashes)


def test_a_server_that_does_not_answer_is_noticed(disk: Disk, serve: Serve, tmp_path: Path) -> None:
    uri = serve(*nbdkit(disk.path, "--filter=delay", "rdelay=30"))
    start = time.monotonic()
    with pytest.raises(DestinationError, match=r"not answered for 0\.5 seconds"):
        verify(task(tmp_path, uri, limits=CopyLimits(retries=1, request_seconds=0.5)), disk.hashes)
    assert time.monotonic() - start < 10


def test_a_server_that_comes_back_is_read_on(disk: Disk, serve: Serve, tmp_path: Path) -> None:
    disk.change(9 * MIB)
    socket = tmp_path / "again"
    first = subprocess.Popen(
        ["nbdkit", "-f", "-U", str(socket), "--filter=delay", "file", str(disk.path), "rdelay=200ms"]
    )
    while not socket.exists():
        time.sleep(0.01)
    found: list[list[Range]] = []
    reading = threading.Thread(
        target=lambda: found.append(verify(task(tmp_path, f"nbd+unix:///?socket={socket}"), disk.hashes))
    )
    reading.start()
    time.sleep(0.5)
    first.kill()
    first.wait()
    socket.unlink()
    serve(*nbdkit(disk.path), socket=socket)
    reading.join(20)
    assert found == [[(9 * MIB, BLOCK)]]


def test_stop_ends_it_at_once(disk: Disk, serve: Serve, tmp_path: Path) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    uri = serve(*nbdkit(disk.path, "--filter=delay", "rdelay=30"))
    start = time.monotonic()
    with pytest.raises(Stopped):
        verify(task(tmp_path, uri), disk.hashes, stop=stop)
    assert time.monotonic() - start < 3


class MemorySink(Sink):
    """A sink that keeps the disk in memory, and cannot read the first time."""

    connections = 2
    readable = True

    def __init__(self, disk: bytes) -> None:
        self._disk = disk
        self._failed = False

    def write(self, offset: int, data: memoryview) -> None:
        raise AssertionError

    def zero(self, offset: int, length: int) -> None:
        raise AssertionError

    def flush(self) -> None:
        raise AssertionError

    def read(self, offset: int, buffer: memoryview) -> None:
        if not self._failed:
            self._failed = True
            raise ConnectionResetError(104, "Connection reset by peer")
        buffer[:] = self._disk[offset : offset + len(buffer)]

    def close(self) -> None:
        pass


def test_sink_is_read_back(disk: Disk, tmp_path: Path) -> None:
    assert verify(task(tmp_path), disk.hashes, sink=MemorySink(bytes(disk.bytes))) == []
    disk.bytes[9 * MIB] ^= 1
    assert verify(task(tmp_path), disk.hashes, sink=MemorySink(bytes(disk.bytes))) == [(9 * MIB, BLOCK)]


def test_sink_that_cannot_be_read_is_said(disk: Disk, tmp_path: Path) -> None:
    sink = MemorySink(b"")
    sink.readable = False
    with pytest.raises(DestinationError, match="cannot be read back"):
        verify(task(tmp_path), disk.hashes, sink=sink)


@pytest.fixture
def verifier(disk: Disk, tmp_path: Path) -> Iterator[Verifier]:
    read_back = open_read_back(task(tmp_path, file=disk.path), None, threading.Event())
    made = Verifier(read_back, disk.hashes, SIZE)
    yield made
    made.close()


def test_what_is_compared_while_copying_is_not_read_again(disk: Disk, verifier: Verifier) -> None:
    disk.change(9 * MIB)
    verifier.written([(0, 3 * MIB), (8 * MIB, 7 * MIB)])
    read: list[int] = []
    assert verifier.finish(read.append) == [(9 * MIB, BLOCK)]
    # what is left: the two blocks with little data, and a second look at the wrong one
    assert sum(read) <= 3 * BLOCK


def test_half_a_block_is_compared_when_the_rest_is_written(disk: Disk, verifier: Verifier) -> None:
    os.truncate(disk.path, 0)
    os.truncate(disk.path, SIZE)
    disk.change(5 * MIB + 512, bytes(disk.bytes[5 * MIB + 512 : 5 * MIB + 562]))
    verifier.written([(5 * MIB + 512, 50)])
    disk.path.write_bytes(disk.bytes)
    assert verifier.finish() == []


def test_what_was_copied_once_more_is_compared_once_more(disk: Disk, verifier: Verifier) -> None:
    disk.change(1 * MIB)
    disk.change(9 * MIB)
    wrong = verifier.finish()
    assert wrong == [(1 * MIB, BLOCK), (9 * MIB, BLOCK)]
    disk.change(1 * MIB, bytes([disk.bytes[1 * MIB]]))
    assert verifier.again(wrong) == [(9 * MIB, BLOCK)]


def test_what_is_written_twice_is_compared_as_it_is_then(disk: Disk, verifier: Verifier) -> None:
    disk.change(9 * MIB)
    verifier.written([(9 * MIB, BLOCK)])
    time.sleep(0.3)
    disk.change(9 * MIB, bytes([disk.bytes[9 * MIB]]))
    verifier.written([(9 * MIB, BLOCK)])
    assert verifier.finish() == []


def test_failure_beside_the_copy_is_told_at_its_end(disk: Disk, verifier: Verifier) -> None:
    os.truncate(disk.path, 8 * MIB)
    verifier.written([(8 * MIB, MIB)])
    with pytest.raises(DestinationError, match=f"ends at {8 * MIB}"):
        verifier.finish()


def test_copy_of_the_base_compares_only_what_it_has_written(disk: Disk, verifier: Verifier) -> None:
    os.truncate(disk.path, 4 * MIB)
    os.truncate(disk.path, SIZE)
    disk.change(1 * MIB)
    verifier.written([(0, 3 * MIB)])
    assert verifier.settle() == [(1 * MIB, BLOCK)]
