# SPDX-License-Identifier: GPL-2.0-or-later
"""``kill -9`` of the supervisor in each step of a real conversion: nothing is left, the source is as it was."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from runs import Place
from v2v_core.events import Step
from v2v_core.testing import write_distribution
from v2v_core.testing.fake_plugins import ENTRY_POINTS
from waiting import wait_for

pytestmark = pytest.mark.slow

#: Seconds that the warden may take.
LIMIT = 30.0


def kill_in(place: Place, step: Step, argv: list[str | Path], *, at: str = "", after: float = 0.0, **more: str) -> None:
    """Run a conversion, and kill its supervisor in a step.

    :param at: the beginning of the message to wait for; empty: kill as soon as the step has begun.
    :param after: seconds to wait then.
    """
    process = place.start(*argv, **more)
    try:
        wait_for(place, process, step, at)
        time.sleep(after)
        assert process.poll() is None, (place.root / "output").read_text()
    finally:
        process.kill()
        process.wait()
    deadline = time.monotonic() + LIMIT
    while place.leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert place.leftovers() == []


def libguestfs_sockets() -> set[Path]:
    """Return the socket directories of libguestfs that no emulator uses; others belong to another conversion."""
    commands = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            commands.append(command.read_bytes())
    found = Path("/tmp").glob("libguestfs*")
    return {path for path in found if not any(os.fsencode(path) in command for command in commands)}


@pytest.mark.parametrize(("at", "after"), [("", 0.0), ("Opening the source", 4.0), ("Converting", 3.0)])
def test_killed_while_converting(place: Place, unchanged_vmware_guest: Path, at: str, after: float) -> None:
    """At its very beginning, while the appliance starts, and while the guest is being changed."""
    out = place.root / "out"
    out.mkdir()
    before = libguestfs_sockets()
    argv = ["virt-v2v", "-i", "disk", unchanged_vmware_guest, "-o", "local", "-os", out]
    kill_in(place, Step.CONVERT, argv, at=at, after=after)
    assert list(out.iterdir()) == []
    assert libguestfs_sockets() <= before


@pytest.mark.parametrize("step", [Step.INPUT_SETUP, Step.OUTPUT_CHECK])
def test_killed_before_the_conversion(place: Place, unchanged_vmware_guest: Path, step: Step) -> None:
    out = place.root / "out"
    out.mkdir()
    kill_in(place, step, ["virt-v2v", "-i", "disk", unchanged_vmware_guest, "-o", "local", "-os", out])
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("step", [Step.OUTPUT_SETUP, Step.COPY, Step.OUTPUT_FINALIZE])
def test_killed_after_the_conversion(place: Place, unchanged_vmware_guest: Path, step: Step) -> None:
    """The real disk, the real output and the real copy; the conversion before them is a fake one, and quick."""
    out = place.root / "out"
    out.mkdir()
    (out / "sda-sda").write_text("an older guest of that name")
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    argv = ["v2v", "convert", "--converter", "fake", unchanged_vmware_guest, "--output-storage", out, "--overwrite"]
    kill_in(place, step, argv, PYTHONPATH=str(place.root))
    left = {path.name: path.stat().st_size for path in out.iterdir()}
    # finalize is short: the kill may come when the guest is there already, whole
    if step is not Step.OUTPUT_FINALIZE or "sda.xml" not in left:
        assert left == {"sda-sda": 27}
    else:
        assert left.keys() == {"sda-sda", "sda.xml"}
        assert left["sda-sda"] == unchanged_vmware_guest.stat().st_size


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_while_copying(place: Place, unchanged_vmware_guest: Path, number: signal.Signals) -> None:
    out = place.root / "out"
    out.mkdir()
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    argv = ["v2v", "convert", "--converter", "fake", "--copier", "fake-hanging", unchanged_vmware_guest]
    process = place.start(*argv, "--output-storage", out, PYTHONPATH=str(place.root))
    wait_for(place, process, Step.COPY, "Copying disk")
    time.sleep(1.0)  # the copy is under way: its program has been started
    process.send_signal(number)
    assert process.wait(timeout=60) == 130, (place.root / "output").read_text()
    assert list(out.iterdir()) == []
    words = (place.root / "output").read_text()
    assert words.count("v2v: error:") == 1, words
    assert "Traceback" not in words


def emulator_of(place: Place) -> int:
    """Return the process of the appliance of a run."""
    (found,) = [int(words.split()[1].rstrip(":")) for words in place.processes() if "qemu-system" in words]
    return found


def test_an_appliance_that_was_stopped_ends_the_conversion(place: Place, unchanged_vmware_guest: Path) -> None:
    """``kill -STOP`` of qemu, as a debugger does it: libguestfs would wait for ever."""
    out = place.root / "out"
    out.mkdir()
    process = place.start("virt-v2v", "-i", "disk", unchanged_vmware_guest, "-o", "local", "-os", out)
    wait_for(place, process, Step.CONVERT, "Inspecting the source")
    os.kill(emulator_of(place), signal.SIGSTOP)
    started = time.monotonic()
    assert process.wait(timeout=120) == 6, (place.root / "output").read_text()
    assert time.monotonic() - started < LIMIT
    words = (place.root / "output").read_text()
    assert "virt-v2v: error: the appliance does not go on: the process of its qemu was stopped\nhint: find out" in words
    assert list(out.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_logs_of_an_interrupted_run_are_kept(
    place: Place, unchanged_vmware_guest: Path, number: signal.Signals
) -> None:
    out = place.root / "out"
    out.mkdir()
    process = place.start("virt-v2v", "-i", "disk", unchanged_vmware_guest, "-o", "local", "-os", out)
    wait_for(place, process, Step.CONVERT, "Opening the source")
    process.send_signal(number)
    process.wait(timeout=60)
    deadline = time.monotonic() + LIMIT
    while place.leftovers() and time.monotonic() < deadline:
        time.sleep(0.1)
    (kept,) = (place.root / "state" / "v2v" / "logs").iterdir()
    assert {"convert.log", "input_setup.log", "events.jsonl"} <= {path.name for path in kept.iterdir()}
    assert "Opening the source" in (kept / "convert.log").read_text()
    if number is not signal.SIGKILL:
        assert process.returncode == 130
        assert f"logs: {kept}" in (place.root / "output").read_text()
