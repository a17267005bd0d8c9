# SPDX-License-Identifier: GPL-2.0-or-later
"""How much space there is, what is said where there is none, and what is reckoned before the work."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core import processes, space
from v2v_core.conversion_dir import ConversionDir
from v2v_core.errors import CopyError
from v2v_core.events import Event, EventKind, Step
from v2v_core.model import QemuImage
from v2v_core.output_files import check_space
from v2v_core.reporting import StepReport
from v2v_core.served import ServedOutput, write_output
from v2v_core.serving import data_of, serve_destination, serve_source
from v2v_core.settings import RunChoice
from v2v_core.steps import copy, input_setup
from v2v_core.testing import FakeReporter

MB = 1024 * 1024


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=20", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def report(v2v_directory: ConversionDir) -> Iterator[StepReport]:
    made = StepReport(v2v_directory, Step.COPY, [])
    yield made
    made.close()


def fill(place: Path) -> None:
    with pytest.raises(OSError, match="No space left"), (place / "ballast").open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 KiB"), (-1, "0 KiB"), (700, "1 KiB"), (12 * MB, "12 MiB"), (1536 * MB, "1.5 GiB"), (MB * MB, "1024.0 GiB")],
)
def test_amounts(size: int, words: str) -> None:
    assert space.amount(size) == words


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_three_errors_mean_that_there_is_no_room(number: int) -> None:
    """libguestfs/libguestfs#133: "File too large", on a file system where holes are written out."""
    assert space.is_no_room(OSError(number, "x"))
    assert not space.is_no_room(OSError(errno.EIO, "x"))
    assert not space.is_no_room(ValueError())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_a_full_file_system(small: Path) -> None:
    fill(small)
    assert space.shortage(small) == f"the file system of {small} is full, 0 KiB are free"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_a_file_system_without_inodes(small: Path) -> None:
    with pytest.raises(OSError, match="No space left"):
        for number in range(30):
            (small / str(number)).touch()
    assert space.shortage(small) == (
        f"the file system of {small} has no free inodes, so that no more files can be created"
    )


def test_a_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """canonical/lxd#9124: a quota is exhausted, and the file system has room."""
    monkeypatch.setattr(space, "free_space", lambda _place: 3 * 1024 * MB)
    assert space.shortage(tmp_path) == (
        f"{tmp_path} takes no more data although its file system has 3.0 GiB free: a quota, or a limit on the size of "
        "files, is exhausted"
    )


def test_the_overlay_of_a_disk_or_the_server_of_another_program(tmp_path: Path) -> None:
    overlay = tmp_path / "disk2.qcow2"
    overlay.write_bytes(os.urandom(2 * MB))
    reason, hint = space.overlay_shortage(tmp_path, 2)
    assert "; the overlay disk2.qcow2 takes 2 MiB, all temporary files of this run 2 MiB" in reason
    assert "VIRT_V2V_TMPDIR" in hint
    reason, hint = space.overlay_shortage(tmp_path, 1)
    assert reason == "its server has no space left for it"
    assert "where this disk is stored" in hint


def test_data_of_a_sparse_image(v2v_directory: ConversionDir, report: StepReport, tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    with image.open("wb") as stream:
        stream.write(os.urandom(3 * MB))
        stream.truncate(64 * MB)
    source = serve_source(v2v_directory, 1, QemuImage(path=image, format="raw"), "disk", in_place=False, report=report)
    assert source.base is not None
    assert data_of(source.base, timeout=30) == 3 * MB
    assert data_of("nbd+unix:///?socket=/nowhere", timeout=30) is None


@pytest.mark.parametrize(("data", "warned"), [(None, False), (0, False), (1 << 60, True)])
def test_too_little_space_for_the_data_is_a_warning(tmp_path: Path, data: int | None, warned: bool) -> None:
    """kubev2v/forklift#86: the import ends with "no space left on device", and nothing was said before."""
    reporter = FakeReporter()
    check_space(tmp_path, [1 << 61], preallocated=False, data=data, report=reporter)
    assert bool(reporter.warnings) is warned
    if warned:
        (warning,) = reporter.warnings
        assert warning.startswith(f"there may not be enough space in {tmp_path}: ")
        assert "hold up to 1073741824.0 GiB of data; free some space, or choose another directory" in warning


def test_overlays_of_large_disks_need_more() -> None:
    """kubev2v/forklift#3657: of 10 TB and more, trimming alone makes a large overlay."""
    assert space.likely_growth([100 * 1024 * MB]) < 1.1 * 1024 * MB
    assert space.likely_growth([16 * 1024 * 1024 * MB]) == 3 * 1024 * MB


def test_a_likely_lack_of_temporary_space_is_a_warning(
    choice: RunChoice, v2v_directory: ConversionDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_setup, "likely_growth", lambda _sizes: 1 << 60)
    heard: list[Event] = []
    input_setup.run(v2v_directory, choice.input, [heard.append])
    (warning,) = [event.text for event in heard if event.kind is EventKind.WARNING]
    assert warning.startswith(f"there may not be enough space for temporary files in {v2v_directory.path}: ")
    assert "may take 1073741824.0 GiB" in warning
    assert "VIRT_V2V_TMPDIR" in warning


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small tmpfs")
def test_a_copy_into_a_full_file_system_says_how_far_it_came(
    v2v_directory: ConversionDir, report: StepReport, small: Path
) -> None:
    image = QemuImage(path=small / "out.img", format="raw")
    with image.path.open("wb") as stream:
        stream.truncate(8 * MB)
    endpoint = serve_destination(v2v_directory, 1, image, report)
    write_output(v2v_directory, ServedOutput(owner=1, disks=(endpoint,), services=(image,)))
    fill(small)
    failed = CopyError("disk 1 could not be copied: No space left on device", disk=1, hint="free some")
    explained = copy._explained(v2v_directory, failed)
    processes.stop(v2v_directory.path, processes.serves("out"))
    assert str(explained) == (
        f"disk 1 could not be copied: No space left on device; the file system of {small} is full, 0 KiB are free; "
        "0 KiB of at most 8 MiB were written"
    )
