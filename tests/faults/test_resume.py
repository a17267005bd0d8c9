# SPDX-License-Identifier: GPL-2.0-or-later
"""``v2v resume`` as a user runs it: after a kill of everything, and after a target that was full."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from runs import Place, said
from v2v_core.testing import MARKER, write_distribution
from v2v_core.testing.fake_plugins import ENTRY_POINTS

MB = 1024 * 1024
SIZE = 48 * MB


@pytest.fixture
def source(place: Place) -> Path:
    """Return a raw disk full of data."""
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    path = place.root / "guest.img"
    path.write_bytes(os.urandom(MB) * (SIZE // MB))
    return path


def convert(source: Path, out: Path, run: Path, *more: str) -> list[str | Path]:
    return ["v2v", "convert", "--converter", "fake", source, "--output-storage", out, "--dir", run, *more]


def assert_arrived(source: Path, out: Path) -> None:
    assert (out / "guest-sda").read_bytes() == MARKER + source.read_bytes()[len(MARKER) :]
    assert {path.name for path in out.iterdir()} == {"guest-sda", "guest.xml"}


def test_a_full_target_that_is_given_space(place: Place, source: Path) -> None:
    out, run = place.root / "out", place.root / "run"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE + 8 * MB}", "none", out], check=True)
    try:
        (out / "ballast").write_bytes(bytes(4 * MB))
        argv = place.argv(convert(source, out, run, "--bandwidth", "20MB/s", "--no-overlap"))
        environment = place.environ({"PYTHONPATH": str(place.root)})
        with subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as first:
            deadline = time.monotonic() + 60
            # the check before the conversion has found enough space; another program takes it during the copy
            while not list(out.glob(".guest-sda*")) and time.monotonic() < deadline:
                time.sleep(0.01)
            (out / "ballast").write_bytes(bytes(24 * MB))
            _, words = first.communicate(timeout=120)
        assert first.returncode == 7, words
        assert "still to be written" in words
        assert f"v2v resume {run}" in words
        assert run.is_dir()
        (out / "ballast").unlink()
        done = place.run("v2v", "resume", run, PYTHONPATH=str(place.root))
        assert done.returncode == 0, said(done)
        assert_arrived(source, out)
        assert not run.exists()
    finally:
        subprocess.run(["umount", out], check=True)


def test_everything_is_killed_and_goes_on_elsewhere(place: Place, source: Path) -> None:
    """The supervisor, its warden, the servers, as a power failure does it. The names that were given are relative."""
    out, run = place.root / "out", place.root / "run"
    out.mkdir()
    argv = place.argv(convert(Path(source.name), Path("out"), Path("run"), "--bandwidth", "10MB/s"))
    environment = place.environ({"PYTHONPATH": str(place.root)})
    with subprocess.Popen(argv, env=environment, cwd=place.root, stdout=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 60
        while '"progress"' not in _events(run) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(1.0)
        assert first.poll() is None
        place.kill_processes()
    done = place.run("v2v", "resume", run, "--bandwidth", "1GB/s", PYTHONPATH=str(place.root))
    assert done.returncode == 0, said(done)
    assert_arrived(source, out)
    assert not run.exists()


def _events(run: Path) -> str:
    try:
        return (run / "events.jsonl").read_text()
    except FileNotFoundError:
        return ""
