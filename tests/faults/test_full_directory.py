# SPDX-License-Identifier: GPL-2.0-or-later
"""A file system that becomes full during a real conversion: the run ends at once, says why, and leaves nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runs import Place
from v2v_core.events import Step
from v2v_core.testing import write_distribution
from v2v_core.testing.fake_plugins import ENTRY_POINTS
from waiting import wait_for

pytestmark = pytest.mark.slow

#: Seconds after which the run must have ended.
LIMIT = 30.0
#: Bytes of the file system: what a conversion asks for before it begins, and a little more.
SIZE = 1300 * 1024 * 1024


@pytest.fixture
def small(place: Place) -> Iterator[Path]:
    """Yield a file system of its own that is mounted where a run has its large temporary files."""
    image, directory = place.root / "small.img", place.root / "large"
    with image.open("wb") as stream:
        stream.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-m0", "-O^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, directory], check=True)
    (directory / "lost+found").rmdir()
    yield directory
    (directory / "ballast").unlink()
    assert list(directory.iterdir()) == []
    subprocess.run(["umount", directory], check=True)


def fill(directory: Path, *, leave: int = 0) -> None:
    """Take all the space of the file system but ``leave`` bytes."""
    piece = SIZE
    with (directory / "ballast").open("wb") as stream:
        while piece >= 4096:
            system = os.statvfs(directory)
            try:
                if system.f_bavail * system.f_frsize - piece < leave:
                    raise OSError(errno.ENOSPC, "so many bytes are not to be taken")
                os.posix_fallocate(stream.fileno(), stream.seek(0, os.SEEK_END), piece)
            except OSError:
                piece //= 2


def ended(place: Place, process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code of a run, which must end soon, and what it said."""
    started = time.monotonic()
    code = process.wait(timeout=600)
    words = (place.root / "output").read_text()
    took = time.monotonic() - started
    print(f"ended after {took:.1f} s\n{words}")
    assert took < LIMIT, words
    assert "Traceback" not in words
    assert words.count(": error: ") == 1
    return code, words


@pytest.mark.parametrize("at", ["", "Converting"])
def test_the_temporary_directory_becomes_full(place: Place, small: Path, unchanged_vmware_guest: Path, at: str) -> None:
    """Before there is an appliance, and while it changes the guest: qemu would wait for space for ever.

    kimchi-project/kimchi#367: qemu's own answer to a full file system is to pause the guest.
    Southclaws/sampctl#245: freeing the space later does not help.
    """
    out = place.root / "out"
    out.mkdir()
    process = place.start("virt-v2v", "-i", "disk", unchanged_vmware_guest, "-o", "local", "-os", out)
    wait_for(place, process, Step.CONVERT, at)
    fill(small)
    code, words = ended(place, process)
    assert code == 6
    assert f"the file system of {small}/" in words
    assert " is full, " in words
    assert "KiB are free" in words
    if at:
        assert "disk 1 cannot be written" in words
        assert "disk1.qcow2 takes" in words
    assert "VIRT_V2V_TMPDIR" in words
    assert list(out.iterdir()) == []
    assert list((place.root / "state" / "v2v" / "logs").glob("*/convert.log"))


def test_it_becomes_full_while_the_guest_is_copied_into_it(
    place: Place, small: Path, unchanged_vmware_guest: Path
) -> None:
    out = small / "out"
    out.mkdir()
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    argv = ["v2v", "convert", "--converter", "fake", unchanged_vmware_guest, "--output-storage", out]
    process = place.start(*argv, PYTHONPATH=str(place.root))
    wait_for(place, process, Step.OUTPUT_SETUP)
    fill(small, leave=64 * 1024 * 1024)
    code, words = ended(place, process)
    assert code == 7
    assert "disk 1 could not be copied" in words
    assert f"the file system of {out} is full" in words
    assert list(out.iterdir()) == []
    out.rmdir()
