# SPDX-License-Identifier: GPL-2.0-or-later
"""What can go wrong with ``-o rhv-upload``, each at the point where it hurts.

After each: an exit code that is not 0, cause and remedy; nothing of another user touched; and no disk of the run in the
engine, or its id in the warnings and in the ledger, so that a cleanup that is run later removes it. The input, the copy
and the output are the real ones, the conversion is a fake one, and quick.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_simulator import PASSWORD, EngineSimulator, Fault, running_engine
from runs import Place, said
from v2v_core.testing import Relay, relay_to, write_distribution
from v2v_core.testing.fake_plugins import ENTRY_POINTS, MARKER

pytestmark = pytest.mark.slow

SIZE = 64 * 1024 * 1024
#: ``-o rhv-upload`` that waits only a few seconds for the engine.
HURRIED = """\
from v2v_output_rhv.upload.plugin import UploadOutput
from v2v_output_rhv.upload.settings import Limits
class Hurried(UploadOutput):
    limits = Limits(disk=4, transfer=4, finalize=4, machine=4, removal=4, poll=0.2)
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[EngineSimulator]:
    with (
        tempfile.TemporaryDirectory(prefix="v2v-e.", dir="/var/tmp") as place,
        running_engine(Path(place) / "e") as made,
    ):
        yield made


@pytest.fixture
def engine(servers: EngineSimulator) -> Iterator[EngineSimulator]:
    """Yield an engine with a machine and a disk of another user, and check at the end that they were not changed."""
    servers.start_over()
    machine, disk = servers.add_machine("neighbour"), servers.add_disk("loose disk")
    before = [dataclasses.astuple(thing) for thing in (machine, disk, servers.state.disks[machine.disks[0]])]
    content = servers.content(disk.id)
    yield servers
    after = [dataclasses.astuple(thing) for thing in (machine, disk, servers.state.disks[machine.disks[0]])]
    assert after == before
    assert servers.content(disk.id) == content
    servers.start_over()


@pytest.fixture
def wire(engine: EngineSimulator) -> Iterator[Relay]:
    """Yield a relay between this machine and the host."""
    with relay_to(engine.daemon.port) as relay:
        engine.host.port = relay.port
        yield relay


@pytest.fixture
def source(place: Place) -> Path:
    """Return a disk image without holes."""
    image = place.root / "guest.img"
    image.write_bytes(os.urandom(SIZE))
    write_distribution(place.root, "v2v-fakes", ENTRY_POINTS)
    hurried = {"v2v.output": {"hurried": "v2v_hurried:Hurried"}}
    write_distribution(place.root, "v2v-hurried", hurried)
    (place.root / "v2v_hurried.py").write_text(HURRIED)
    return image


def argv(engine: EngineSimulator, source: Path, *more: str) -> list[str | Path]:
    words: list[str | Path] = ["v2v", "convert", "--converter", "fake", "-i", "disk", source, "-o", "hurried"]
    return [*words, "-on", "guest", "-oo", "rhv-direct", *engine.options, *more]


def convert(place: Place, engine: EngineSimulator, source: Path, *more: str) -> subprocess.CompletedProcess[str]:
    done = place.run(*argv(engine, source, *more), PYTHONPATH=str(place.root), timeout=120)
    assert PASSWORD not in said(done)
    for log in (place.root / "state").rglob("*.log"):
        assert PASSWORD not in log.read_text(errors="replace")
    return done


def ours(engine: EngineSimulator) -> set[str]:
    """Return the ids of the disks and machines in the engine that this run created."""
    engine.state.catch_up()
    disks = {disk.id for disk in engine.state.disks.values() if "uploaded by v2v" in disk.description}
    return disks | {machine.id for machine in engine.state.machines.values() if machine.name == "guest"}


def refused(done: subprocess.CompletedProcess[str], code: int, *causes: str) -> None:
    """Check that a run failed with its causes and a hint, and without a traceback."""
    assert done.returncode == code, said(done)
    for cause in causes:
        assert cause in done.stderr, said(done)
    assert "v2v: error:" in done.stderr, said(done)
    assert "hint:" in done.stderr, said(done)
    assert "Traceback" not in done.stderr, said(done)


def one_is_left(place: Place, engine: EngineSimulator, done: subprocess.CompletedProcess[str]) -> None:
    """Check that the disk that is left is named after everything else, and that the last line says how to go on."""
    (identity,) = ours(engine)
    *_, named, kept = done.stdout.strip().splitlines()
    assert named.startswith("v2v: warning:"), said(done)
    assert f"left behind: mark of the oVirt disks {marks(engine)[identity]}, oVirt disk {identity}" in named, said(done)
    assert kept.startswith(f"v2v: warning: {kept_directory(place)} is kept"), said(done)
    assert f"run helper-v2v-cleanup --dir {kept_directory(place)} again" in kept, said(done)


def marks(engine: EngineSimulator) -> dict[str, str]:
    """Return the mark of each of our disks."""
    disks = engine.state.disks.values()
    return {disk.id: disk.description.split()[-1] for disk in disks if "uploaded by v2v" in disk.description}


def kept_directory(place: Place) -> Path:
    """Return the conversion directory that a run has kept."""
    (directory,) = [entry for entry in (place.root / "tmp").iterdir() if (entry / "ledger.jsonl").exists()]
    return directory


def clean_up(place: Place) -> subprocess.CompletedProcess[str]:
    return place.run("helper-v2v-cleanup", "--dir", kept_directory(place), PYTHONPATH=str(place.root), timeout=120)


def cleanup_ends_it(place: Place, engine: EngineSimulator) -> None:
    """Check that a cleanup, now that the cause is gone, removes what is left, and the directory."""
    done = clean_up(place)
    assert done.returncode == 0, said(done)
    assert not ours(engine), said(done)
    assert not place.leftovers(), said(done)


def after_bytes(relay: Relay, happen: object, *, part: float = 0.5) -> None:
    relay.at.append((int(SIZE * part), happen))  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [[], ["--copier", "nbdcopy"]], ids=["recommended", "nbdcopy"])
def test_all_goes_well(place: Place, engine: EngineSimulator, source: Path, wire: Relay, more: list[str]) -> None:
    """Without this, the other tests would prove nothing. They use the recommended copier."""
    done = convert(place, engine, source, *more)
    assert done.returncode == 0, said(done)
    (machine,) = [found for found in engine.state.machines.values() if found.name == "guest"]
    content = MARKER + source.read_bytes()[len(MARKER) :]
    assert engine.content(machine.disks[0]) == content
    assert wire.sent > SIZE


@pytest.mark.parametrize("call", ["disks.add", "transfers.add", "vms.add"])
def test_engine_refuses(place: Place, engine: EngineSimulator, source: Path, call: str) -> None:
    engine.faults[call] = Fault(status=409, detail="[Cannot do that. Quota has exceeded its limit.]")
    refused(convert(place, engine, source), 5, "the engine localhost refuses: Cannot do that. Quota has exceeded")
    assert not ours(engine)


def test_wrong_password(place: Place, engine: EngineSimulator, source: Path) -> None:
    """It is found before the conversion."""
    wrong = place.root / "wrong"
    wrong.write_text("wrong\n")
    words = argv(engine, source)
    words[words.index(str(engine.password_file))] = wrong
    done = place.run(*words, PYTHONPATH=str(place.root))
    refused(done, 5, "does not let admin@internal in", "-op")
    assert "Marking the disks" not in said(done)


def test_token_expires(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """The engine forgets all sessions in the middle of each step: the next question logs in again."""
    for call in ("transfers.add", "transfers.finalize", "vms.add"):
        engine.faults[call] = Fault(times=1, action=engine.forget_sessions)
    # the call in which it happens has been let in; the one after it has not
    done = convert(place, engine, source)
    assert done.returncode == 0, said(done)
    assert engine.calls.count("token") > 4


def test_token_expires_and_the_password_was_changed(
    place: Place, engine: EngineSimulator, source: Path, wire: Relay
) -> None:
    """Nothing can be removed until a cleanup is given the new password."""

    def change() -> None:
        engine.api.password = "changed"
        engine.forget_sessions()

    after_bytes(wire, change)
    try:
        done = convert(place, engine, source)
        refused(done, 5, "does not let admin@internal in")
        one_is_left(place, engine, done)
        engine.password_file.write_text("changed\n")
        cleanup_ends_it(place, engine)
    finally:
        engine.api.password = PASSWORD
        engine.password_file.write_text(f"{PASSWORD}\n")


def test_transfer_is_paused_by_the_system(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    after_bytes(wire, lambda: engine.pause(engine.running_transfers()[0]))
    done = convert(place, engine, source)
    refused(done, 7, "disk 1 could not be copied", "ovirt-imageio refuses")
    assert "was paused by the system in the engine" in done.stdout, said(done)
    assert not ours(engine)


def test_wire_is_cut_and_back(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """At 50 %, for three seconds: the copy goes on where it was."""
    after_bytes(wire, lambda: wire.cut(seconds=3))
    done = convert(place, engine, source)
    assert done.returncode == 0, said(done)
    (machine,) = [found for found in engine.state.machines.values() if found.name == "guest"]
    assert engine.content(machine.disks[0])[len(MARKER) :] == source.read_bytes()[len(MARKER) :]
    assert wire.sent < 2 * SIZE, "it began again"


def test_ticket_expires(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """Each request extends the ticket, so it expires only when the wire is cut for longer than its validity."""
    engine.host.validity = 2
    after_bytes(wire, lambda: wire.cut(seconds=4))
    done = convert(place, engine, source)
    refused(done, 7, "disk 1 could not be copied", "ticket has expired")
    assert not ours(engine)


def test_disk_is_locked_for_ever(place: Place, engine: EngineSimulator, source: Path) -> None:
    engine.behaviour.disk = "never"
    done = convert(place, engine, source)
    refused(done, 5, "is still locked by the engine after 4 seconds")
    one_is_left(place, engine, done)
    for identity in ours(engine):
        engine.state.disks[identity].status = "ok"
    cleanup_ends_it(place, engine)


@pytest.mark.parametrize("end", ["finished_failure", "paused_system", "never"])
def test_finalize_fails(place: Place, engine: EngineSimulator, source: Path, end: str) -> None:
    engine.behaviour.finalized = end
    done = convert(place, engine, source)
    words = {
        "finished_failure": "could not finalize the transfer of disk 1",
        "paused_system": "paused by the system",
        "never": "did not finalize the transfer of disk 1",
    }
    refused(done, 5, words[end])
    if end == "never":
        one_is_left(place, engine, done)
        for transfer in engine.state.transfers.values():
            transfer.phase = "finished_success"
            engine.state.disks[transfer.disk].status = "ok"
        cleanup_ends_it(place, engine)
    else:
        assert not ours(engine)


def test_supervisor_is_killed(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """``kill -9`` at 50 %: the warden cleans up."""
    process = place.start(*argv(engine, source), PYTHONPATH=str(place.root))
    after_bytes(wire, process.kill)
    assert process.wait(60) == -9
    deadline = time.monotonic() + 60
    while (ours(engine) or place.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not ours(engine)
    assert "disks.add" in engine.calls


@pytest.mark.parametrize("call", ["disks.add", "transfers.add", "vms.add"])
def test_supervisor_is_killed_while_it_waits_for_the_engine(
    place: Place, engine: EngineSimulator, source: Path, call: str
) -> None:
    """The engine has carried out the call, and its answer never arrived."""
    process = place.start(*argv(engine, source), PYTHONPATH=str(place.root))

    def kill() -> None:
        process.kill()

    engine.faults[call] = Fault(times=1, action=kill)
    assert process.wait(60) == -9
    deadline = time.monotonic() + 60
    while (ours(engine) or place.leftovers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not ours(engine)
    assert call in engine.calls


def test_killed_upload_is_resumed(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """``kill -9`` at 50 %, with ``--dir``: the disk stays, its transfer is paused, and a new one goes on."""
    directory = place.root / "run"
    process = place.start(*argv(engine, source, "--dir", str(directory)), PYTHONPATH=str(place.root))
    after_bytes(wire, process.kill)
    assert process.wait(60) == -9
    deadline = time.monotonic() + 60
    while place.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    before = ours(engine)
    assert len(before) == 1
    assert "transfers.cancel" not in engine.calls
    engine.pause(engine.running_transfers()[0])
    done = place.run("v2v", "resume", directory, PYTHONPATH=str(place.root), timeout=120)
    assert done.returncode == 0, said(done)
    (machine,) = [found for found in engine.state.machines.values() if found.name == "guest"]
    assert before == set(machine.disks)
    assert engine.content(machine.disks[0]) == MARKER + source.read_bytes()[len(MARKER) :]
    assert not engine.running_transfers()
    assert PASSWORD not in said(done)


@pytest.mark.zoo
def test_disk_of_a_killed_upload_is_gone(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """An administrator has cancelled its transfer meanwhile."""
    directory = place.root / "run"
    process = place.start(*argv(engine, source, "--dir", str(directory)), PYTHONPATH=str(place.root))
    after_bytes(wire, process.kill)
    assert process.wait(60) == -9
    deadline = time.monotonic() + 60
    while place.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    (disk,) = ours(engine)
    engine.pause(engine.running_transfers()[0], "finished_cleanup")
    del engine.state.disks[disk]
    done = place.run("v2v", "resume", directory, PYTHONPATH=str(place.root), timeout=120)
    refused(done, 5, "is not in the engine any more", "convert the guest again")
    assert not ours(engine)


def test_name_is_taken_meanwhile(place: Place, engine: EngineSimulator, source: Path, wire: Relay) -> None:
    """The name is free before the conversion, and another user takes it while the disk is copied."""
    taken = []
    after_bytes(wire, lambda: taken.append(engine.add_machine("guest")))
    done = convert(place, engine, source)
    refused(done, 5, "The VM name guest is already in use")
    assert ours(engine) == {taken[0].id}


def test_name_is_taken(place: Place, engine: EngineSimulator, source: Path) -> None:
    engine.add_machine("guest")
    done = convert(place, engine, source)
    refused(done, 5, "has a virtual machine 'guest' already", "-on")
    assert "disks.add" not in engine.calls


def test_storage_is_full_before(place: Place, engine: EngineSimulator, source: Path) -> None:
    engine.domain("data1").available = 2**30
    done = convert(place, engine, source)
    refused(done, 5, "there is not enough space in the storage domain 'data1'", "-os")
    assert "disks.add" not in engine.calls


def test_storage_gets_full(place: Place, engine: EngineSimulator, source: Path) -> None:
    """While the disk is copied. The daemon only reports that it failed."""
    engine.host.backing = "full"
    done = convert(place, engine, source)
    refused(done, 7, "disk 1 could not be copied", "ovirt-imageio failed", "perhaps the storage is full")
    assert not ours(engine)


def test_disk_cannot_be_removed(place: Place, engine: EngineSimulator, source: Path) -> None:
    engine.behaviour.removal = "never"
    engine.faults["vms.add"] = Fault(status=400, detail="[Cannot import VM.]")
    done = convert(place, engine, source)
    refused(done, 5, "Cannot import VM")
    one_is_left(place, engine, done)
    engine.behaviour.removal = "gone"
    cleanup_ends_it(place, engine)


def test_engine_goes_away(place: Place, engine: EngineSimulator, source: Path) -> None:
    """What it did before is named. A cleanup that comes too early keeps it in the ledger, the next one removes it."""
    engine.faults["transfers.add"] = Fault(hangup="after")
    # the logins before: of the early check, of the check and of the set-up
    engine.faults["token"] = Fault(after=3, hangup="before")
    done = convert(place, engine, source)
    refused(done, 5, "the engine localhost")
    one_is_left(place, engine, done)
    early = clean_up(place)
    assert early.returncode == 5, said(early)
    assert "the first is mark of the oVirt disks" in early.stderr, said(early)
    assert "hint:" in early.stderr, said(early)
    assert len(ours(engine)) == 1
    engine.faults.clear()
    cleanup_ends_it(place, engine)


def test_supervisor_is_killed_and_the_engine_goes_away(
    place: Place, engine: EngineSimulator, source: Path, wire: Relay
) -> None:
    """``kill -9`` at 50 %, and the warden cannot reach the engine: nothing that is left is forgotten."""
    process = place.start(*argv(engine, source), PYTHONPATH=str(place.root))

    def strike() -> None:
        engine.go_down()
        process.kill()

    after_bytes(wire, strike)
    assert process.wait(60) == -9
    deadline = time.monotonic() + 60
    while place.processes() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not place.processes(), "the warden has given up, and the servers are stopped"
    (left,) = ours(engine)
    directory = kept_directory(place)
    assert left in (directory / "ledger.jsonl").read_text()
    (logs,) = (place.root / "state" / "v2v" / "logs").iterdir()
    assert left in (logs / "owned.jsonl").read_text()
    assert "cannot be reached" in (logs / "cleanup.log").read_text()
    assert (logs / "copy.log").exists()
    early = clean_up(place)
    assert early.returncode == 5, said(early)
    assert f"oVirt disk {left}" in early.stdout + early.stderr, said(early)
    assert ours(engine) == {left}
    engine.come_back()
    cleanup_ends_it(place, engine)
    assert not engine.running_transfers()
