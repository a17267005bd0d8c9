# SPDX-License-Identifier: GPL-2.0-or-later
"""``--verify`` in the process that copies a disk, to a server that does not keep what is written to it."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from v2v_core.copying.copy_process import copy_disk
from v2v_core.copying.messages import Cause
from v2v_core.copying.task import CopyPass, CopyTask, DestinationEnd, SourceEnd
from v2v_core.errors import CopyError
from v2v_core.testing import FakeReporter

MIB = 1024**2
SIZE = 12 * MIB
WRONG = 5 * MIB + 7
#: A disk in a file of which one byte is changed whenever it is written, as often as the file ``times`` says.
_LYING = """
import os, pathlib, threading
path, times, wrong, lock = None, None, {wrong}, threading.Lock()

def config(key, value):
    globals()[key] = value

def open(readonly):
    return os.open(path, os.O_RDWR)

def get_size(h):
    return os.fstat(h).st_size

def can_multi_conn(h):
    return True

def can_zero(h):
    return False

def can_flush(h):
    return True

def flush(h, flags):
    os.fsync(h)

def pread(h, buffer, offset, flags):
    os.preadv(h, [buffer], offset)

def lies():
    with lock:
        left = int(pathlib.Path(times).read_text())
        pathlib.Path(times).write_text(str(max(0, left - 1)))
        return left > 0

def pwrite(h, buffer, offset, flags):
    data = bytearray(buffer)
    if offset <= wrong < offset + len(data) and lies():
        data[wrong - offset] ^= 1
    os.pwrite(h, data, offset)

API_VERSION = 2
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    image = tmp_path / "in.img"
    with image.open("wb") as file:
        file.write(random.Random(1).randbytes(8 * MIB))  # noqa: S311 - no secret
        file.truncate(SIZE)
    return image


@pytest.fixture
def times(tmp_path: Path) -> Path:
    """Return the file that says how often the destination will lie."""
    path = tmp_path / "times"
    path.write_text("0")
    return path


@pytest.fixture
def task(tmp_path: Path, source: Path, times: Path) -> Iterator[CopyTask]:
    target = tmp_path / "out.img"
    target.touch()
    os.truncate(target, SIZE)
    plugin = tmp_path / "lying.py"
    plugin.write_text(_LYING.replace("{wrong}", str(WRONG)))
    lying = ["python", str(plugin), f"path={target}", f"times={times}"]
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", source, overlay], check=True)
    sockets = {name: tmp_path / name for name in ("in", "base", "out")}
    servers = [
        subprocess.Popen(argv)
        for argv in (
            ["qemu-nbd", "-t", "-e", "0", "-f", "qcow2", "--allocation-depth", "-k", str(sockets["in"]), str(overlay)],
            ["nbdkit", "-f", "-U", str(sockets["base"]), "--read-only", "file", str(source)],
            ["nbdkit", "-f", "-U", str(sockets["out"]), *lying],
        )
    ]
    while not all(socket.exists() for socket in sockets.values()):
        time.sleep(0.01)
    (tmp_path / "copy").mkdir()
    uri = {name: f"nbd+unix:///?socket={socket}" for name, socket in sockets.items()}
    yield CopyTask(
        index=1,
        size=SIZE,
        source=SourceEnd(uri=uri["in"], base=uri["base"], overlay=True, identity="in", version="1"),
        destination=DestinationEnd(uri=uri["out"], zeroed=True, identity="out"),
        place=tmp_path / "copy",
        verify=True,
    )
    for server in servers:
        server.kill()
        server.wait()


def holds(tmp_path: Path, source: Path) -> bool:
    return (tmp_path / "out.img").read_bytes() == source.read_bytes()


def test_a_byte_that_was_changed_once_is_copied_once_more(
    task: CopyTask, times: Path, tmp_path: Path, source: Path
) -> None:
    times.write_text("1")
    report = FakeReporter()
    result = copy_disk(task, report)
    assert result.verified
    assert holds(tmp_path, source)
    (warning,) = report.warnings
    assert f"first at byte {5 * MIB}" in warning


def test_a_byte_that_is_always_changed_is_no_success(task: CopyTask, times: Path) -> None:
    times.write_text("1000")
    with pytest.raises(CopyError) as caught:
        copy_disk(task, FakeReporter())
    assert caught.value.cause is Cause.MISMATCH
    assert caught.value.disk == 1
    assert str(5 * MIB) in caught.value.message


def test_without_verification_nothing_is_said(task: CopyTask, times: Path, tmp_path: Path, source: Path) -> None:
    """Without this, the other tests would prove nothing."""
    times.write_text("1")
    result = copy_disk(replace(task, verify=False), FakeReporter())
    assert not result.verified
    assert not holds(tmp_path, source)


def test_copy_of_the_base_is_compared_beside_the_conversion(
    task: CopyTask, times: Path, tmp_path: Path, source: Path
) -> None:
    times.write_text("1")
    report = FakeReporter()
    copy_disk(replace(task, copy_pass=CopyPass.BASE), report)
    assert len(report.warnings) == 1
    assert holds(tmp_path, source)
    # the copy proper has nothing to write, and only the rest to read
    assert copy_disk(replace(task, conversion="1"), report).verified
    assert len(report.warnings) == 1


def test_a_byte_that_changed_after_the_copy_of_the_base_is_found_where_it_was_not_compared(
    task: CopyTask, tmp_path: Path, source: Path
) -> None:
    copy_disk(replace(task, copy_pass=CopyPass.BASE, verify=False), FakeReporter())
    with (tmp_path / "out.img").open("r+b") as file:
        file.seek(WRONG)
        file.write(b"\0")
    report = FakeReporter()
    assert copy_disk(replace(task, conversion="1"), report).verified
    assert holds(tmp_path, source)
    assert len(report.warnings) == 1


def test_hashes_that_an_earlier_process_did_not_take_are_missed(task: CopyTask) -> None:
    """A root without them would be that of another disk."""
    plain = replace(task, verify=False)
    copy_disk(replace(plain, copy_pass=CopyPass.BASE, hashing=False), FakeReporter())
    assert copy_disk(replace(plain, conversion="1"), FakeReporter()).digest is None


def test_hashes_of_two_processes_are_those_of_one(task: CopyTask, tmp_path: Path) -> None:
    plain = replace(task, verify=False)
    copy_disk(replace(plain, copy_pass=CopyPass.BASE), FakeReporter())
    first = copy_disk(replace(plain, conversion="1"), FakeReporter()).digest
    again = replace(plain, place=tmp_path / "again", conversion="1")
    again.place.mkdir()
    assert first is not None
    assert copy_disk(again, FakeReporter()).digest == first
