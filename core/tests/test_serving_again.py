# SPDX-License-Identifier: GPL-2.0-or-later
"""Serving disks again after a server has ended, and sources that are read through one connection."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core import processes, served
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import SourceError
from v2v_core.events import Step
from v2v_core.model import NbdkitPlugin, QemuImage
from v2v_core.programs import run_program
from v2v_core.reporting import StepReport
from v2v_core.served import ServedOutput, ServedSource
from v2v_core.serving import revive, serve_destination, serve_source, serve_source_again
from v2v_core.testing import read_endpoint, write_endpoint

MARK = b"\xa5" * 512


@pytest.fixture
def report(v2v_directory: ConversionDir) -> Iterator[StepReport]:
    made = StepReport(v2v_directory, Step.COPY, [])
    yield made
    made.close()


def memory() -> NbdkitPlugin:
    return NbdkitPlugin(name="memory", parameters=(("size", "1M"),))


@contextlib.contextmanager
def nbd_client(uri: str) -> Iterator[None]:
    import nbd

    handle = nbd.NBD()
    handle.connect_uri(uri)
    yield
    handle.shutdown()


def connections_to(path: Path) -> int:
    """Return the number of connections that a server has accepted on a socket (``/proc/net/unix`` in proc(5))."""
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    # state 3 is SS_CONNECTED; the socket that listens has state 1
    return sum(line.split()[5] == "03" and line.endswith(f" {path}") for line in lines)


def test_source_that_suffers_from_a_second_connection_has_one(v2v_directory: ConversionDir, report: StepReport) -> None:
    """Copy and conversion read it at the same time."""
    single = NbdkitPlugin(name="pattern", parameters=(("size", "8M"),), single=True)
    disk = serve_source(v2v_directory, 1, single, "disk", in_place=False, report=report)
    assert disk.base is not None
    write_endpoint(disk.uri, MARK)
    with nbd_client(disk.base), nbd_client(disk.base), nbd_client(disk.uri):
        assert connections_to(v2v_directory.socket("base", 1)) >= 3
        assert connections_to(v2v_directory.socket("far", 1)) == 1
    assert read_endpoint(disk.uri)[512:] == read_endpoint(disk.base)[512:]
    assert read_endpoint(disk.uri)[:512] == MARK
    assert read_endpoint(disk.base)[:16] == bytes(8) + b"\0\0\0\0\0\0\0\x08"


def kill_server(directory: ConversionDir, *names: str) -> None:
    for name in names:
        processes.stop(directory.path, lambda process, name=name: process.server == name, grace=0.0)  # type: ignore[misc]


@pytest.mark.parametrize("single", [False, True])
def test_servers_that_ended_are_started_again_above_the_same_overlay(
    v2v_directory: ConversionDir, report: StepReport, single: bool
) -> None:
    service = NbdkitPlugin(name="pattern", parameters=(("size", "1M"),), single=single)
    disk = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    write_endpoint(disk.uri, MARK)
    expected = read_endpoint(disk.uri)
    for names in (["base1"], ["in1"], ["far1", "base1", "in1"]):
        kill_server(v2v_directory, *names)
        assert serve_source_again(v2v_directory, disk, keep_overlay=True, report=report) == disk
        assert read_endpoint(disk.uri) == expected
    before = processes.find(v2v_directory.path)
    assert serve_source_again(v2v_directory, disk, keep_overlay=True, report=report) == disk
    assert processes.find(v2v_directory.path) == before


def test_overlay_of_a_conversion_that_did_not_end_is_made_anew(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path
) -> None:
    service = QemuImage(path=v2v_disk, format="raw")
    disk = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    write_endpoint(disk.uri, MARK)
    again = serve_source_again(v2v_directory, disk, keep_overlay=False, report=report)
    assert read_endpoint(again.uri) == v2v_disk.read_bytes()


def test_overlay_that_is_gone_is_not_replaced_by_an_empty_one(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path
) -> None:
    service = QemuImage(path=v2v_disk, format="raw")
    disk = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    assert disk.overlay is not None
    kill_server(v2v_directory, "in1", "base1")
    disk.overlay.unlink()
    with pytest.raises(SourceError, match=r"disk 1 \(disk\) cannot be served again: its overlay .* is gone"):
        serve_source_again(v2v_directory, disk, keep_overlay=True, report=report)


def test_source_of_another_size_is_not_served_again(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path
) -> None:
    service = QemuImage(path=v2v_disk, format="raw")
    disk = serve_source(v2v_directory, 1, service, "disk", in_place=False, report=report)
    kill_server(v2v_directory, "in1", "base1")
    os.truncate(v2v_disk, v2v_disk.stat().st_size * 2)
    with pytest.raises(SourceError, match=r"disk 1 \(disk\) has changed: it had \d+ bytes, and has \d+ now"):
        serve_source_again(v2v_directory, disk, keep_overlay=False, report=report)


def test_all_recorded_disks_are_served_again(
    v2v_directory: ConversionDir, report: StepReport, v2v_disk: Path, tmp_path: Path
) -> None:
    disk = serve_source(v2v_directory, 1, QemuImage(path=v2v_disk, format="raw"), "disk", in_place=False, report=report)
    served.write_source(v2v_directory, ServedSource(disks=(disk,)))
    run_program(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "out"), "1M"])
    image = QemuImage(path=tmp_path / "out", format="qcow2")
    out = serve_destination(v2v_directory, 1, image, report)
    output = ServedOutput(owner=1, disks=(out,), services=(image,))
    served.write_output(v2v_directory, output)
    write_endpoint(out.uri, MARK)
    write_endpoint(disk.uri, MARK)
    names = {process.server for process in processes.find(v2v_directory.path)}
    processes.stop(v2v_directory.path, lambda _process: True)
    revive(v2v_directory, report, keep_overlays=True)
    assert {process.server for process in processes.find(v2v_directory.path)} == names
    assert (read_endpoint(out.uri)[:512], read_endpoint(disk.uri)[:512]) == (MARK, MARK)
    assert served.read_output(v2v_directory) == output


def test_read_waits_for_a_source_that_is_being_started_again(v2v_directory: ConversionDir, report: StepReport) -> None:
    """A server that ends for a moment must not fail the conversion above it."""
    disk = serve_source(v2v_directory, 1, memory(), "disk", in_place=False, report=report)
    kill_server(v2v_directory, "base1")
    timer = threading.Timer(1.0, serve_source_again, [v2v_directory, disk], {"keep_overlay": True, "report": report})
    timer.start()
    try:
        assert read_endpoint(disk.uri) == bytes(1024 * 1024)
    finally:
        timer.join()
