# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: one clear line that says what to do, a non-zero exit, and no half-made output."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guests.disk_images import blank, no_os, partitioned
from runs import Fingerprint, Place, said
from v2v_core.testing import write_distribution
from v2v_core.testing.fake_plugins import ENTRY_POINTS


@pytest.fixture
def out(place: Place) -> Path:
    directory = place.root / "out"
    directory.mkdir()
    return directory


@pytest.fixture
def image(place: Place) -> Path:
    return blank(place.root / "disk.img")


def refuse(place: Place, *argv: str | Path, code: int | None = None, **more: str) -> str:
    """Run a command that must fail with one error line and no traceback, and return its stderr."""
    done = place.run(*argv, **more)
    assert done.returncode not in {0, -9, -11}, said(done)
    assert "Traceback" not in done.stderr + done.stdout, said(done)
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert len(errors) == 1, said(done)
    if code is not None:
        assert done.returncode == code, said(done)
    assert place.leftovers() == []
    return done.stderr


def convert(image: str | Path, out: str | Path, *more: str | Path) -> list[str | Path]:
    return ["virt-v2v", "-i", "disk", image, "-o", "local", "-os", out, *more]


def test_missing_file(place: Place, out: Path) -> None:
    error = refuse(place, *convert(place.root / "gone.img", out), code=4)
    assert "gone.img" in error
    assert "No such file" in error
    assert list(out.iterdir()) == []


def test_empty_file(place: Place, out: Path) -> None:
    (place.root / "empty.img").touch()
    assert "empty" in refuse(place, *convert(place.root / "empty.img", out), code=4)


def test_truncated_qcow2(place: Place, out: Path) -> None:
    raw, disk = place.root / "raw", place.root / "disk.qcow2"
    raw.write_bytes(os.urandom(4 * 1024 * 1024))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
    os.truncate(disk, 2 * 1024 * 1024)
    before = Fingerprint.of(disk)
    assert "not a complete qcow2 image" in refuse(place, *convert(disk, out), code=4)
    assert Fingerprint.of(disk) == before
    assert list(out.iterdir()) == []


def test_host_file_as_backing_file(place: Place, out: Path) -> None:
    disk = place.root / "evil.qcow2"
    make = ["qemu-img", "create", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", disk, "1M"]
    subprocess.run(make, check=True, capture_output=True)
    error = refuse(place, *convert(disk, out), code=4)
    assert "/etc/hostname" in error
    assert "allow-external-files" in error


@pytest.mark.slow
def test_blank_disk_and_disk_without_a_system(place: Place, out: Path) -> None:
    for disk in (blank(place.root / "blank.img"), partitioned(place.root / "part.img"), no_os(place.root / "data.img")):
        before = Fingerprint.of(disk)
        error = refuse(place, *convert(disk, out), code=6)
        assert "operating system" in error
        assert Fingerprint.of(disk) == before
        assert list(out.iterdir()) == []


@pytest.mark.slow
def test_two_operating_systems_without_a_choice(place: Place, out: Path) -> None:
    def system(name: str) -> Path:
        files = [
            ("etc/os-release", f'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="{name}"\n'),
            ("etc/debian_version", "12.5\n"),
            ("etc/fstab", "/dev/sda / ext4 defaults 0 1\n"),
            ("etc/hostname", f"{name}\n"),
            *((f"{directory}/keep", "") for directory in ("bin", "boot", "usr", "var", "sbin", "root", "home", "lib")),
        ]
        return no_os(place.root / f"{name}.img", size=32, files=files)

    done = refuse(place, "virt-v2v", "-i", "disk", system("one"), system("two"), "-o", "local", "-os", out, code=6)
    assert "--root" in done
    assert "/dev/sda" in done
    assert "/dev/sdb" in done
    assert list(out.iterdir()) == []


@pytest.fixture
def full(place: Place) -> Iterator[Path]:
    """Yield a file system with 8 MiB of space."""
    directory = place.root / "full"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_no_space_in_the_temporary_directory(place: Place, out: Path, image: Path, full: Path) -> None:
    error = refuse(place, *convert(image, out), VIRT_V2V_TMPDIR=str(full))
    assert str(full) in error
    assert "VIRT_V2V_TMPDIR" in error


def test_no_space_at_the_target_for_a_preallocated_disk(place: Place, image: Path, full: Path) -> None:
    error = refuse(place, *convert(image, full, "-oa", "preallocated"), code=5)
    assert str(full) in error
    assert list(full.iterdir()) == []


def test_no_space_at_the_target_while_copying(place: Place, full: Path) -> None:
    """A sparse disk may be larger than the free space; the copy finds out that it does not fit."""
    source = place.root / "disk.img"
    source.write_bytes(os.urandom(16 * 1024 * 1024))
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    argv = ["v2v", "convert", "--converter", "fake", source, "--output-storage", full]
    error = refuse(place, *argv, code=7, PYTHONPATH=str(place.root))
    assert "disk 1 could not be copied" in error
    assert "No space left" in error
    assert list(full.iterdir()) == []


def test_target_directory_does_not_exist(place: Place, image: Path) -> None:
    assert "nowhere" in refuse(place, *convert(image, place.root / "nowhere"), code=5)


def test_target_directory_cannot_be_written(place: Place, out: Path) -> None:
    """Root may write everywhere, except on a read-only file system."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", out], check=True)
    try:
        error = refuse(place, *convert(blank(place.root / "disk.img"), out), code=5)
    finally:
        subprocess.run(["umount", out], check=True)
    assert str(out) in error


def test_target_is_not_given_or_a_file(place: Place, image: Path) -> None:
    assert "-os" in refuse(place, "virt-v2v", "-i", "disk", image, "-o", "local")
    assert "not a directory" in refuse(place, *convert(image, image), code=5)


def test_unknown_modes_name_the_installed_ones(place: Place, out: Path, image: Path) -> None:
    error = refuse(place, "virt-v2v", "-i", "disk", image, "-o", "nosuch", code=3)
    assert "nosuch" in error
    assert "local (disk), null" in error
    error = refuse(place, "virt-v2v", "-i", "nosuch", image, "-o", "local", "-os", out, code=3)
    assert "disk" in error


def test_option_given_twice(place: Place, out: Path, image: Path) -> None:
    assert "-of" in refuse(place, *convert(image, out, "-of", "raw", "-of", "qcow2"), code=2)


def test_mistyped_option(place: Place, out: Path, image: Path) -> None:
    error = refuse(place, *convert(image, out, "--paralel", "2"), code=2)
    assert "--paralel" in error
    assert "--parallel" in error
    assert "-oz" in refuse(place, *convert(image, out, "-oz", "x"), code=2)


def test_unknown_output_option_and_format(place: Place, out: Path, image: Path) -> None:
    error = refuse(place, *convert(image, out, "-oo", "compresed"), code=2)
    assert "compresed" in error
    assert "compressed" in error
    assert "vmdk" in refuse(place, *convert(image, out, "-of", "vmdk"), code=2)


def test_nbdkit_is_missing(place: Place, out: Path, image: Path) -> None:
    """Everything but nbdkit is on PATH."""
    without = place.root / "bin"
    without.mkdir()
    for name in ("qemu-img", "qemu-nbd", "nbdinfo", "nbdcopy"):
        (without / name).symlink_to(shutil.which(name) or "/nowhere")
    error = refuse(place, *convert(image, out), PATH=str(without))
    assert "nbdkit" in error
    assert "install" in error


def test_no_argument_at_all(place: Place) -> None:
    assert refuse(place, "virt-v2v", "-i", "disk", "-o", "null", code=2)


def test_the_output_would_replace_the_source(place: Place, out: Path) -> None:
    source = blank(out / "guest-sda")
    before = Fingerprint.of(source)
    error = refuse(place, *convert(source, out, "-on", "guest"), code=5)
    assert "is a disk of the source" in error
    assert Fingerprint.of(source) == before


@pytest.mark.parametrize(
    ("command", "needs"),
    [
        (("helper-v2v-convert",), None),
        (("helper-v2v-output-local", "setup", "-os", "OUT"), None),
        (("helper-v2v-copy",), "step copy needs step output_setup"),
        (("helper-v2v-output-local", "final"), "step output_finalize needs step convert"),
    ],
)
def test_steps_out_of_their_order(
    place: Place, out: Path, image: Path, command: tuple[str, ...], needs: str | None
) -> None:
    """A missing directory is not created; the step that has to come before is named. Setup may come before convert."""
    directory = place.root / "run"
    argv = [str(out) if word == "OUT" else word for word in command]
    assert "does not exist" in refuse(place, *argv, "--dir", directory, code=2)
    assert not directory.exists()
    assert place.run("helper-v2v-input-disk", "--dir", directory, image).returncode == 0
    try:
        if command != ("helper-v2v-convert",):
            done = place.run(*argv, "--dir", directory)
            assert done.returncode in ({0} if needs is None else {2, 3}), said(done)
            assert needs is None or needs in done.stderr
    finally:
        assert place.run("helper-v2v-cleanup", "--dir", directory).returncode == 0
    assert not directory.exists()
    assert list(out.iterdir()) == []


def test_nbd_server_that_is_not_there(place: Place) -> None:
    error = refuse(place, "virt-v2v", "-i", "disk", f"nbd+unix:///?socket={place.root}/no-server", "-o", "null", code=4)
    assert "no-server" in error
    assert "connect" in error
    assert "check that the server runs" in error
