# SPDX-License-Identifier: GPL-2.0-or-later
"""Whole runs of the command with ``-o rhv`` and ``-o vdsm``, from a fake guest: aliases, failures, ``kill -9``.

A supervisor that is killed leaves no image and no mount, and the other files of the export domain stay unchanged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from export_domains import SERVER, as_root, make_domain, simulate_mount, tree
from v2v_core.api import mounts_below
from v2v_core.testing.leftovers import VARIABLE, still_there

Command = Callable[..., list[str]]
COMMAND = Path(sys.executable).parent / "v2v"
VDSM = (
    *("vdsm-image-uuid=image1", "vdsm-image-uuid=image2"),
    *("vdsm-vol-uuid=vol1", "vdsm-vol-uuid=vol2", "vdsm-vm-uuid=vm"),
)


@pytest.fixture
def temporary(v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory for all temporary files of a run."""
    for variable, name in (("TMPDIR", "t"), ("VIRT_V2V_TMPDIR", "l"), ("XDG_STATE_HOME", "s")):
        (v2v_short_path / name).mkdir()
        monkeypatch.setenv(variable, str(v2v_short_path / name))
    # skip the search for KVM
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    return v2v_short_path


@pytest.fixture
def exported(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make an export domain that a file server exports. ``mount -t nfs`` is simulated."""
    place = tmp_path / "exported"
    domain = make_domain(place)
    for image in ("image1", "image2"):
        (domain / "images" / image).mkdir()
    simulate_mount(tmp_path / "bin", place)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    yield place
    for point in mounts_below(temporary):
        subprocess.run(["umount", "-l", point], check=True)


@pytest.fixture
def nothing_left(exported: Path, temporary: Path) -> Callable[[], None]:
    """Return the function that asserts that a run left nothing behind, on this machine and in the export domain."""
    before = tree(exported)

    def check() -> None:
        deadline = time.monotonic() + 15
        while (list(temporary.glob("[tl]/*")) or tree(exported) != before) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert still_there(os.environ[VARIABLE], seconds=15) == {}
        assert list(temporary.glob("[tl]/*")) == []
        assert mounts_below(temporary) == ()
        assert tree(exported) == before

    return check


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return the function that makes the command line for converting a guest with two disks."""
    images = [tmp_path / "first.img", tmp_path / "second.img"]
    for image in images:
        image.write_bytes(b"v" * 1024 * 1024)

    def make(output: str, storage: str | Path, *more: str, copier: str = "fake") -> list[str]:
        fake = ["--input", "fake", "--converter", "fake", "--copier", copier]
        argv = [COMMAND, "convert", *fake, "-o", output, "-os", storage, "-on", "guest", *more, *images]
        return [str(argument) for argument in argv]

    return make


def run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.02)


pytestmark = pytest.mark.usefixtures("v2v_leftovers", "v2v_fakes")


@as_root
@pytest.mark.parametrize("name", ["rhv", "ovirt", "rhev"])
def test_each_name_makes_the_guest_exist(command: Command, name: str, exported: Path, temporary: Path) -> None:
    before = tree(exported)
    done = run(command(name, SERVER))
    assert done.returncode == 0, done.stderr
    after = tree(exported)
    assert {path: after[path] for path in before} == before
    new = [exported / path for path in after.keys() - before.keys()]
    assert sorted(path.suffix for path in new if path.is_file()) == ["", "", ".meta", ".meta", ".ovf"]
    assert mounts_below(temporary) == ()
    assert list(temporary.glob("[tl]/*")) == []


def test_vdsm_gets_its_volumes(command: Command, exported: Path, tmp_path: Path) -> None:
    (domain,) = (path for path in exported.iterdir() if "-" in path.name)
    options = [word for option in (*VDSM, f"vdsm-ovf-output={tmp_path}") for word in ("-oo", option)]
    done = run(command("vdsm", domain, "-of", "qcow2", *options))
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (domain / "images" / "image1").iterdir()) == ["vol1", "vol1.meta"]
    assert (tmp_path / "vm.ovf").exists()


@as_root
@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        ([], 7, "disk"),
        (["-op", "/etc/hostname"], 2, "-op"),
        (["-oo", "x=y"], 2, "option 'x': unknown"),
    ],
)
def test_a_failure_leaves_nothing(
    command: Command, nothing_left: Callable[[], None], more: list[str], code: int, message: str
) -> None:
    done = run(command("rhv", SERVER, *more, copier="fake-failing"))
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    nothing_left()


@as_root
def test_an_unusable_domain_is_found_before_the_conversion(
    command: Command, nothing_left: Callable[[], None], exported: Path
) -> None:
    done = run(command("rhv", exported / "lost+found", "-v"))
    assert done.returncode == 5, done.stderr
    assert "holds no storage domain" in done.stderr
    assert "Marking the disks" not in done.stdout + done.stderr
    nothing_left()


@as_root
@pytest.mark.parametrize(
    ("output", "number"),
    [
        ("nfs", signal.SIGKILL),
        ("nfs", signal.SIGTERM),
        ("nfs", signal.SIGINT),
        ("directory", signal.SIGKILL),
        ("vdsm", signal.SIGKILL),
    ],
)
def test_killed_while_copying(
    command: Command,
    nothing_left: Callable[[], None],
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    number: signal.Signals,
) -> None:
    monkeypatch.setenv("V2V_FAKE_HANGING", str(tmp_path / "hanging"))
    (domain,) = (path for path in exported.iterdir() if "-" in path.name)
    options = [word for option in (*VDSM, f"vdsm-ovf-output={tmp_path}") for word in ("-oo", option)]
    argv = {
        "nfs": command("rhv", SERVER, copier="fake-hanging"),
        "directory": command("rhv", exported, copier="fake-hanging"),
        "vdsm": command("vdsm", domain, *options, copier="fake-hanging"),
    }[output]
    before = tree(exported)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisor:
        wait_for(tmp_path / "hanging")
        assert tree(exported) != before, "there is something to remove"
        supervisor.send_signal(number)
        supervisor.wait(timeout=60)
    nothing_left()


@as_root
@pytest.mark.parametrize("program", ["mount", "umount"])
def test_killed_while_it_is_mounted_for_the_check(
    command: Command,
    nothing_left: Callable[[], None],
    exported: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: str,
) -> None:
    """The ledger has no record of the mount, because the check creates nothing."""
    waiting = tmp_path / "waiting"
    simulator = tmp_path / "bin" / program
    real = simulator.read_text().replace("exec ", "") if program == "mount" else "#!/bin/sh\n"
    again = f"[ -e '{waiting}' ] && exec /usr/bin/umount \"$@\"\n" if program == "umount" else ""
    simulator.write_text(f"{real}{again}touch '{waiting}'\nexec sleep 600\n")
    simulator.chmod(0o755)
    argv = command("rhv", SERVER)
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as supervisor:
        wait_for(waiting)
        supervisor.kill()
        supervisor.wait(timeout=60)
    nothing_left()
