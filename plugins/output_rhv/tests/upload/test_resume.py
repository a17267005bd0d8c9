# SPDX-License-Identifier: GPL-2.0-or-later
"""An upload that was interrupted and goes on: the disks stay, with what was written to them; the transfers are new."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import pytest

from engine_simulator import EngineSimulator, Fault
from engine_simulator.state import Transfer
from v2v_core.api import DestinationError, OutputResumeRequest, OutputSettings, OutputSetup, OutputSinkRequest, Sink
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.plugins import check_plugin
from v2v_core.testing import FakeReporter
from v2v_core.testing.output_contract import _CONTENTS, OutputRun
from v2v_output_rhv.upload.plugin import UploadOutput
from v2v_output_rhv.upload.settings import Limits


class Hurried(UploadOutput):
    """The output with short time limits, for an engine that misbehaves."""

    limits = Limits(disk=1, transfer=1, finalize=1, machine=1, removal=1, poll=0.1)


@pytest.fixture
def run(engine: EngineSimulator, v2v_directory: ConversionDir) -> OutputRun:
    """A conversion to the engine whose first disk is half written."""
    plugin = check_plugin(Role.OUTPUT, "rhv-upload", Hurried, "the plugin under test")
    settings = OutputSettings(
        name="guest",
        storage="data1",
        connection=engine.uri,
        password_file=engine.password_file,
        options=plugin.check_options((("rhv-cafile", str(engine.certificates.authority)),)),
    )
    made = OutputRun(plugin, v2v_directory, settings, FakeReporter())
    made.setup()
    write(made, 1, 0, len(_CONTENTS[1]) // 2)
    return made


def open_sink(run: OutputRun, index: int) -> Sink:
    request = OutputSinkRequest(
        directory=run.directory.private("output"), index=index, size=len(_CONTENTS[index]), state=run.state
    )
    return run.plugin.output_sink(request)


def write(run: OutputRun, index: int, start: int, end: int) -> None:
    """Write a part of a disk, as core does."""
    sink = open_sink(run, index)
    sink.write(start, memoryview(_CONTENTS[index])[start:end])
    sink.flush()
    sink.close()


def resume(run: OutputRun) -> OutputSetup:
    assert run.setup_result is not None
    run.setup_result = run.plugin.output_resume(
        OutputResumeRequest(
            directory=run.directory.private("output"),
            settings=run.settings,
            setup=dataclasses.replace(run.setup_result, state=run.state),
            disks=run.target.source.disks,
            owned=run.owned(),
            ledger=run.account,
            report=run.report,
        )
    )
    return run.setup_result


def write_the_rest_and_finalize(run: OutputRun, engine: EngineSimulator) -> None:
    write(run, 1, len(_CONTENTS[1]) // 2, len(_CONTENTS[1]))
    write(run, 2, 0, len(_CONTENTS[2]))
    machine, *disks = run.finalize().created
    assert engine.state.machines[machine].disks == disks
    for index, disk in enumerate(disks, 1):
        same = engine.content(disk) == _CONTENTS[index]
        assert same, f"disk {index} differs"
    assert not engine.running_transfers()


def first_transfer(engine: EngineSimulator) -> Transfer:
    return next(iter(engine.state.transfers.values()))


def finished(engine: EngineSimulator) -> None:
    """The run was killed after it had finalized the first transfer."""
    transfer = first_transfer(engine)
    transfer.phase = "finished_success"
    engine.host.close(transfer)
    engine.state.disks[transfer.disk].status = "ok"


def forgotten(engine: EngineSimulator) -> None:
    """Old engines forget a transfer when it is over."""
    finished(engine)
    del engine.state.transfers[first_transfer(engine).id]


def host_restarted(engine: EngineSimulator) -> None:
    """The daemon has lost its tickets, and the engine has paused the transfers."""
    for transfer in engine.running_transfers():
        engine.daemon.remove_ticket(transfer.ticket)
        engine.pause(transfer)


STATES: dict[str, Callable[[EngineSimulator], Any]] = {
    "still running": lambda _engine: None,
    "paused by the system": lambda engine: [engine.pause(each) for each in engine.running_transfers()],
    "paused by a user": lambda engine: engine.pause(first_transfer(engine), "paused_user"),
    "host restarted": host_restarted,
    "finished": finished,
    "forgotten": forgotten,
}


@pytest.mark.parametrize("happened", STATES.values(), ids=list(STATES))
def test_upload_goes_on(engine: EngineSimulator, run: OutputRun, happened: Callable[[EngineSimulator], Any]) -> None:
    """Whatever has become of the transfers; what was written before is not written again."""
    before = run.setup_result
    assert before is not None
    happened(engine)
    after = resume(run)
    assert after.identities == before.identities
    assert [disk["id"] for disk in after.state["disks"]] == [disk["id"] for disk in before.state["disks"]]
    assert not after.zeroed
    assert after.sink
    assert "disks.remove" not in engine.calls
    write_the_rest_and_finalize(run, engine)


def test_what_an_earlier_process_still_writes_is_refused(engine: EngineSimulator, run: OutputRun) -> None:
    """It was frozen, and wakes up after another run has taken over."""
    old = open_sink(run, 1)
    resume(run)
    half = len(_CONTENTS[1]) // 2
    with pytest.raises(DestinationError, match="ovirt-imageio refuses"):
        old.write(0, memoryview(os.urandom(half)))
    old.close()
    write_the_rest_and_finalize(run, engine)


def test_resume_that_was_interrupted_itself(engine: EngineSimulator, run: OutputRun) -> None:
    """The engine has started a transfer, and its answer never arrived: it is ended like all others."""
    engine.faults["transfers.add"] = Fault(after=engine.calls.count("transfers.add"), times=1, hangup="after")
    with pytest.raises(DestinationError, match="the engine localhost"):
        resume(run)
    resume(run)
    assert len(engine.running_transfers()) == len(_CONTENTS)
    write_the_rest_and_finalize(run, engine)


@pytest.mark.parametrize("other", [False, True], ids=["gone", "another user's"])
def test_disk_that_is_not_there(engine: EngineSimulator, run: OutputRun, other: bool) -> None:
    """The other disks are left as they are."""
    second = list(engine.state.disks.values())[1]
    if other:
        second.description = "theirs"
    else:
        engine.pause(list(engine.state.transfers.values())[1])
        del engine.state.disks[second.id]
    phases = [transfer.phase for transfer in engine.state.transfers.values()]
    with pytest.raises(DestinationError, match=rf"disk 2 \({second.id}\).* is not in the engine any more") as refused:
        resume(run)
    assert "convert the guest again" in (refused.value.hint or "")
    assert [transfer.phase for transfer in engine.state.transfers.values()] == phases
    assert run.abort().left == ()
    assert list(engine.state.disks.values()) == ([second] if other else [])


@pytest.mark.parametrize("phase", ["cancelled_system", "finalizing_failure"])
def test_disk_that_the_engine_is_about_to_remove(engine: EngineSimulator, run: OutputRun, phase: str) -> None:
    engine.pause(first_transfer(engine), phase)
    with pytest.raises(DestinationError, match=r"disk 1 .*cannot be written again: its transfer is .*removes it"):
        resume(run)


def test_transfer_that_does_not_end(engine: EngineSimulator, run: OutputRun) -> None:
    engine.behaviour.finalized = "never"
    with pytest.raises(DestinationError, match="did not end the earlier transfer of disk 1") as refused:
        resume(run)
    assert "resume again" in (refused.value.hint or "")


def test_disk_that_is_damaged(engine: EngineSimulator, run: OutputRun) -> None:
    """The engine finds the image unusable when it looks at it."""
    engine.behaviour.finalized = "finished_failure"
    with pytest.raises(DestinationError, match="disk 1"):
        resume(run)


def test_resumed_upload_can_be_taken_back(engine: EngineSimulator, run: OutputRun) -> None:
    resume(run)
    assert run.abort().left == ()
    assert not engine.state.disks
    assert not engine.running_transfers()
    assert not run.report.warnings


def test_secrets_are_in_no_text(engine: EngineSimulator, run: OutputRun) -> None:
    setup = resume(run)
    for transfer in engine.state.transfers.values():
        assert transfer.ticket not in run.report.said + repr(setup)
