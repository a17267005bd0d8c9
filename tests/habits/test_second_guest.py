# SPDX-License-Identifier: GPL-2.0-or-later
"""A second guest of the same name: refused early, unless the user wants the first one to be replaced."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from habits.conftest import FAKE, Convert
from runs import Place, said
from v2v_core.testing.images import numbered_sectors, tree_of


def test_the_second_guest_of_a_name_is_refused(convert: Convert, image: Path, out: Path) -> None:
    """ppc64le-cloud/pvsadm#36: a second conversion to the same name replaced the first image in silence."""
    assert convert(image, "-on", "web").returncode == 0
    first = tree_of(out)
    assert sorted(path.name for path in out.iterdir()) == ["web-sda", "web.xml"]
    second = convert(image, "-on", "web")
    assert second.returncode == 5, said(second)
    assert f"{out}/web.xml exists already" in second.stderr
    assert "--overwrite" in second.stderr
    assert tree_of(out) == first


@pytest.mark.parametrize("words", [["--overwrite"], ["-oo", "overwrite"], ["-oo", "overwrite=true"]])
def test_the_user_can_have_it_replaced(
    convert: Convert, place: Place, image: Path, out: Path, words: list[str]
) -> None:
    for name in ("web-sda", "web.xml"):
        (out / name).write_text("old")
    done = convert(image, "-on", "web", *words)
    assert done.returncode == 0, said(done)
    assert (out / "web-sda").stat().st_size == image.stat().st_size
    assert "<name>web</name>" in (out / "web.xml").read_text()
    assert sorted(path.name for path in out.iterdir()) == ["web-sda", "web.xml"]


def test_what_was_to_be_replaced_stays_if_the_run_fails(convert: Convert, image: Path, out: Path) -> None:
    for name in ("web-sda", "web.xml"):
        (out / name).write_text("old")
    before = tree_of(out)
    failed = convert(image, "-on", "web", "--overwrite", "--copier", "fake-failing")
    assert failed.returncode == 7, said(failed)
    assert tree_of(out) == before


@pytest.mark.parametrize("left", ["web-sda", "web-sdb", "web.xml"])
def test_the_disk_of_a_guest_that_was_deleted_is_not_replaced(
    convert: Convert, place: Place, image: Path, out: Path, left: str
) -> None:
    """cozystack/cozystack#3931: only the names of guests were compared, and the disks of a deleted one were lost."""
    second = place.root / "data.img"
    second.write_bytes(image.read_bytes())
    (out / left).write_text("kept by the administrator")
    done = convert("-i", "fake", image, second, "-on", "web")
    assert done.returncode == 5, said(done)
    assert f"{out / left} exists already" in done.stderr
    assert {path.name: path.read_text() for path in out.iterdir()} == {left: "kept by the administrator"}


def test_names_that_become_one_file_name_are_one_name(convert: Convert, image: Path, out: Path) -> None:
    assert convert(image, "-on", "web/1").returncode == 0
    assert convert(image, "-on", "web_1").returncode == 5
    # a link that leads nowhere is a name as well: to what it leads, nobody knows
    (out / "db-sda").symlink_to(out / "not yet mounted")
    assert convert(image, "-on", "db").returncode == 5
    assert (out / "db-sda").is_symlink()


def test_of_parallel_runs_to_one_name_one_succeeds(place: Place, v2v_fakes: None, out: Path) -> None:
    """kubev2v/forklift#372: two machines of one name in two folders of the source are two guests."""
    images = []
    for folder in ("first", "second", "third"):
        (place.root / folder).mkdir()
        images.append(place.root / folder / "my-vm.img")
        images[-1].write_bytes(numbered_sectors(4 * 1024 * 1024))
    words = ("v2v", "convert", *FAKE, "--output", "local", "--output-storage", str(out))
    runs = [
        subprocess.Popen(
            place.argv([*words, str(one), *more]), env=place.environ({}), stderr=subprocess.PIPE, text=True,
            stdout=subprocess.DEVNULL,
        )
        for one, more in zip(images, ([], ["-on", "my-vm"], []), strict=True)
    ]  # fmt: skip
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 5, 5], errors
    for run, error in zip(runs, errors, strict=True):
        if run.returncode:
            assert "my-vm" in error
            assert "Traceback" not in error
    # no claim and no half-made file is left
    assert sorted(path.name for path in out.iterdir()) == ["my-vm-sda", "my-vm.xml"]
    assert (out / "my-vm-sda").stat().st_size == 4 * 1024 * 1024


def test_the_helper_of_the_output_refuses_as_well(place: Place, v2v_fakes: None, image: Path, out: Path) -> None:
    directory = place.root / "d"
    (out / "web.xml").write_text("old")
    assert place.run("helper-v2v-input-disk", "--dir", directory, image).returncode == 0
    setup = ("helper-v2v-output-local", "setup", "--dir", directory, "-os", out, "-on", "web")
    refused = place.run(*setup)
    assert refused.returncode == 5, said(refused)
    assert "web.xml exists already" in refused.stderr
    assert place.run(*setup, "--overwrite").returncode == 0
    assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0
    assert {path.name: path.read_text() for path in out.iterdir()} == {"web.xml": "old"}


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_run_that_is_killed_keeps_neither_the_name_nor_a_file(
    place: Place, v2v_fakes: None, image: Path, out: Path, more: list[str]
) -> None:
    if more:
        for name in ("web-sda", "web.xml"):
            (out / name).write_text("old")
    before = tree_of(out)
    hanging = place.root / "hanging"
    words = ("v2v", "convert", *FAKE, image, "--output", "local", "--output-storage", out, *more)
    run = place.start(*words, "--copier", "fake-hanging", V2V_FAKE_HANGING=str(hanging))
    wait_until(hanging.exists, run)
    # everything is made but the names: a second run has to wait
    second = place.run(*words, timeout=60)
    assert second.returncode == 5, said(second)
    assert "another run is making" in second.stderr
    run.kill()
    run.wait()
    wait_until(lambda: tree_of(out) == before and not place.leftovers(), None)
    assert place.run(*words, timeout=60).returncode == 0


def wait_until(true: Callable[[], bool], run: subprocess.Popen[str] | None) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        assert run is None or run.poll() is None, "the run has ended"
        time.sleep(0.1)
