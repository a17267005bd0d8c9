# SPDX-License-Identifier: GPL-2.0-or-later
"""Copying with the real nbdcopy: data, progress, and every way of failing names the disk."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core import processes
from v2v_core.conversion_dir import ConversionDir
from v2v_core.copying.nbdcopy import NbdCopy, nbdcopy_argv
from v2v_core.errors import CopyError
from v2v_core.events import Step
from v2v_core.hookspecs import CopyRequest
from v2v_core.model import DiskEndpoint, NbdkitFilter, NbdkitPlugin, QemuImage
from v2v_core.reporting import StepReport
from v2v_core.serving import serve_destination, serve_source
from v2v_core.testing import FakeReporter, read_endpoint, write_endpoint

MB = 1024 * 1024


@pytest.fixture
def report(v2v_directory: ConversionDir) -> Iterator[StepReport]:
    made = StepReport(v2v_directory, Step.COPY, [])
    yield made
    made.close()


def pattern(*filters: NbdkitFilter, size: int = MB) -> NbdkitPlugin:
    return NbdkitPlugin(name="pattern", parameters=(("size", str(size)),), filters=filters)


def is_worker(process: processes.RunProcess) -> bool:
    return process.server is None


def copy_request(source: DiskEndpoint, destination: DiskEndpoint, *, index: int = 2) -> CopyRequest:
    return CopyRequest(index=index, source=source, destination=destination, report=FakeReporter())


def test_disk_is_copied_with_progress_to_its_end(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path
) -> None:
    image = tmp_path / "out.img"
    os.truncate(os.open(image, os.O_CREAT | os.O_WRONLY), 8 * MB)
    source = serve_source(v2v_directory, 1, pattern(size=8 * MB), "disk", in_place=False, report=report)
    destination = serve_destination(v2v_directory, 1, QemuImage(path=image, format="raw"), report)
    heard = FakeReporter()
    result = NbdCopy().v2v_copy(CopyRequest(index=1, source=source, destination=destination, report=heard))
    assert (result.index, result.size) == (1, 8 * MB)
    processes.stop(v2v_directory.path, processes.serves("out"))
    assert image.read_bytes() == read_endpoint(source.uri)
    assert heard.progresses[-1] == (8 * MB, 8 * MB, 1)
    assert [done for done, _, _ in heard.progresses] == sorted(done for done, _, _ in heard.progresses)


def test_preallocated_writes_zeros_out_and_sparse_does_not(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path
) -> None:
    zeros = NbdkitPlugin(name="memory", parameters=(("size", str(MB)),))
    source = serve_source(v2v_directory, 1, zeros, "disk", in_place=False, report=report)
    blocks = {}
    for index, allocation in enumerate(("sparse", "preallocated"), start=1):
        image = tmp_path / allocation
        with image.open("wb") as stream:
            stream.truncate(MB)
        destination = serve_destination(v2v_directory, index, QemuImage(path=image, format="raw"), report)
        NbdCopy().v2v_copy(
            CopyRequest(
                index=index, source=source, destination=destination, allocation=allocation, report=FakeReporter()
            )
        )
        processes.stop(v2v_directory.path, processes.serves("out"))
        blocks[allocation] = image.stat().st_blocks * 512
    assert blocks["sparse"] == 0
    assert blocks["preallocated"] >= MB


def test_full_destination_names_the_disk_and_what_to_do(v2v_directory: ConversionDir, report: StepReport) -> None:
    source = serve_source(v2v_directory, 1, pattern(), "disk", in_place=False, report=report)
    full = NbdkitPlugin(name="full", parameters=(("size", str(MB)),))
    destination = serve_destination(v2v_directory, 1, full, report)
    with pytest.raises(CopyError, match=r"disk 2 could not be copied: .*No space left on device") as failed:
        NbdCopy().v2v_copy(copy_request(source, destination))
    assert failed.value.disk == 2
    assert "free space" in (failed.value.hint or "")
    assert failed.value.exit_code == 7


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs; 'nbdkit full' is tested above")
def test_full_file_system_names_the_disk_and_what_to_do(
    v2v_directory: ConversionDir, report: StepReport, tmp_path: Path
) -> None:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(place)], check=True)
    try:
        with (place / "out.img").open("wb") as stream:
            stream.truncate(MB)
        source = serve_source(v2v_directory, 1, pattern(), "disk", in_place=False, report=report)
        destination = serve_destination(v2v_directory, 1, QemuImage(path=place / "out.img", format="raw"), report)
        with pytest.raises(CopyError, match=r"disk 2 could not be copied: .*No space left on device"):
            NbdCopy().v2v_copy(copy_request(source, destination))
    finally:
        processes.stop(v2v_directory.path, processes.serves("out"))
        subprocess.run(["umount", str(place)], check=True)


def test_read_error_fails_and_names_the_disk(v2v_directory: ConversionDir, report: StepReport, tmp_path: Path) -> None:
    """Sectors that cannot be read must never be copied as zeros."""
    broken = pattern(NbdkitFilter(name="error", parameters=(("error-pread", "EIO"), ("error-pread-rate", "100%"))))
    source = serve_source(v2v_directory, 1, broken, "disk", in_place=True, report=report)
    image = tmp_path / "out.img"
    with image.open("wb") as stream:
        stream.truncate(MB)
    destination = serve_destination(v2v_directory, 1, QemuImage(path=image, format="raw"), report)
    with pytest.raises(CopyError, match=r"disk 2 could not be copied: .*Input/output error") as failed:
        NbdCopy().v2v_copy(copy_request(source, destination))
    assert "log" in (failed.value.hint or "")


def test_destination_that_is_too_small_fails(v2v_directory: ConversionDir, report: StepReport) -> None:
    source = serve_source(v2v_directory, 1, pattern(), "disk", in_place=False, report=report)
    small = NbdkitPlugin(name="memory", parameters=(("size", "512K"),))
    destination = serve_destination(v2v_directory, 1, small, report)
    with pytest.raises(CopyError, match=r"disk 2 could not be copied: .*(size|smaller|larger)"):
        NbdCopy().v2v_copy(copy_request(source, destination))


def test_source_that_is_not_served_fails(v2v_directory: ConversionDir, report: StepReport) -> None:
    destination = serve_destination(v2v_directory, 1, NbdkitPlugin(name="memory", parameters=(("size", "1M"),)), report)
    gone = DiskEndpoint(index=2, uri="nbd+unix:///?socket=/nonexistent/socket", size=MB)
    with pytest.raises(CopyError, match=r"disk 2 could not be copied: .*No such file"):
        NbdCopy().v2v_copy(copy_request(gone, destination))


def test_copy_that_hangs_can_be_stopped_from_outside(
    v2v_directory: ConversionDir, report: StepReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step does this when another disk has failed: it stops the program that the thread waits for."""
    for name, value in v2v_directory.environment.items():
        monkeypatch.setenv(name, value)
    slow = pattern(NbdkitFilter(name="delay", parameters=(("rdelay", "60"),)))
    source = serve_source(v2v_directory, 1, slow, "disk", in_place=True, report=report)
    destination = serve_destination(v2v_directory, 1, NbdkitPlugin(name="memory", parameters=(("size", "1M"),)), report)
    raised: list[BaseException] = []

    def copy() -> None:
        try:
            NbdCopy().v2v_copy(copy_request(source, destination))
        except BaseException as err:
            raised.append(err)

    thread = threading.Thread(target=copy)
    thread.start()
    deadline = time.monotonic() + 10
    while not any(map(is_worker, processes.find(v2v_directory.path))) and time.monotonic() < deadline:
        time.sleep(0.02)
    processes.stop(v2v_directory.path, is_worker)
    thread.join(10)
    assert not thread.is_alive()
    (error,) = raised
    assert isinstance(error, CopyError)
    assert "killed by signal 15" in error.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, []),
        ({"zeroed": True}, ["--destination-is-zero"]),
        ({"allocation": "preallocated"}, ["--allocated"]),
        ({"allocation": "preallocated", "zeroed": True}, ["--allocated"]),
        ({"connections": 3}, ["--connections=3"]),
        ({"request_size": 4 * MB}, ["--request-size=4194304", "--requests=16"]),
        ({"request_size": 64 * 1024}, ["--request-size=65536", "--requests=64"]),
        ({"request_size": 128 * MB}, ["--request-size=134217728", "--requests=1"]),
    ],
)
def test_command_line_follows_the_request(fields: dict[str, object], words: list[str]) -> None:
    source, destination = DiskEndpoint(index=1, uri="nbd://s"), DiskEndpoint(index=1, uri="nbd://d")
    request = CopyRequest(index=1, source=source, destination=destination, report=FakeReporter(), **fields)  # type: ignore[arg-type]
    assert nbdcopy_argv(request, 9) == ["nbdcopy", "--flush", "--progress=9", *words, "nbd://s", "nbd://d"]


def test_what_was_copied_is_what_the_conversion_wrote(v2v_directory: ConversionDir, report: StepReport) -> None:
    source = serve_source(v2v_directory, 1, pattern(), "disk", in_place=False, report=report)
    destination = serve_destination(v2v_directory, 1, NbdkitPlugin(name="memory", parameters=(("size", "1M"),)), report)
    write_endpoint(source.uri, b"\xa5" * 512)
    NbdCopy().v2v_copy(copy_request(source, destination))
    assert read_endpoint(destination.uri).startswith(b"\xa5" * 512 + b"\0\0\0\0\0\0\x02\x00")
