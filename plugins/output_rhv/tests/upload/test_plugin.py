# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o rhv-upload`` beyond the contract: each route to a disk, each kind of disk, and what the check finds."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine_simulator import EngineSimulator, Fault
from engine_simulator.running import HARDWARE_ID
from engine_simulator.state import Transfer
from v2v_core import metadata
from v2v_core.api import DestinationError, NbdkitPlugin, OutputCheckResult, OutputSettings, UsageError, V2VError
from v2v_core.conversion_dir import ConversionDir
from v2v_core.discovery import Role
from v2v_core.plugins import check_plugin
from v2v_core.testing import Certificates, FakeReporter
from v2v_core.testing.output_contract import _CONTENTS, OutputRun
from v2v_output_rhv.upload.address import address_file, read_address
from v2v_output_rhv.upload.plugin import UploadOutput
from v2v_output_rhv.upload.removal import DISK, MACHINE, MARK
from v2v_output_rhv.upload.settings import Limits

Run = Callable[..., OutputRun]


class Hurried(UploadOutput):
    """The output with short time limits, for an engine that misbehaves."""

    limits = Limits(disk=1, transfer=1, finalize=1, machine=1, removal=1, poll=0.1)


@pytest.fixture
def conversion(engine: EngineSimulator, v2v_directory: ConversionDir) -> Run:
    """Return the function that makes a conversion to the engine."""

    def make(*options: tuple[str, str | None], plugin_class: type[UploadOutput] = Hurried, **more: Any) -> OutputRun:
        plugin = check_plugin(Role.OUTPUT, "rhv-upload", plugin_class, "the plugin under test")
        given = (("rhv-cafile", str(engine.certificates.authority)), *options)
        settings: dict[str, Any] = {
            "name": "guest",
            "storage": "data1",
            "connection": engine.uri,
            "password_file": engine.password_file,
            "options": plugin.check_options(given),
            **more,
        }
        return OutputRun(plugin, v2v_directory, OutputSettings(**settings), FakeReporter())

    return make


def upload(run: OutputRun) -> list[str]:
    """Run all steps, and return the ids of the disks."""
    run.check()
    run.setup()
    run.write()
    _machine, *disks = run.finalize().created
    return disks


def arrived(engine: EngineSimulator, disks: list[str]) -> bool:
    return all(engine.content(disk) == _CONTENTS[index] for index, disk in enumerate(disks, 1))


@pytest.mark.parametrize(
    ("settings", "backing", "disk_format", "sparse"),
    [
        ({}, "nbd", "raw", True),
        ({}, "file", "raw", True),
        ({"format": "qcow2", "format_given": True}, "nbd", "cow", True),
        ({"allocation": "preallocated"}, "nbd", "raw", False),
        ({"allocation": "preallocated"}, "file", "raw", False),
        ({"storage": "lun1"}, "nbd", "cow", True),
        ({"storage": "lun1", "allocation": "preallocated"}, "nbd", "raw", False),
    ],
)
def test_every_kind_of_disk(
    engine: EngineSimulator, conversion: Run, settings: dict[str, Any], backing: str, disk_format: str, sparse: bool
) -> None:
    engine.host.backing = backing
    disks = upload(conversion(**settings))
    assert arrived(engine, disks)
    for index, identity in enumerate(disks, 1):
        disk = engine.state.disks[identity]
        assert (disk.format, disk.sparse, disk.status) == (disk_format, sparse, "ok")
        assert disk.alias == f"guest-{index:03d}"
        on_lun = settings.get("storage") == "lun1" and sparse
        assert disk.initial_size == (len(_CONTENTS[index]) if on_lun else None)


def test_through_the_engine(engine: EngineSimulator, conversion: Run) -> None:
    """The second daemon knows only the address of the first, as on the machine of the engine."""
    run = conversion(("rhv-proxy", None))
    run.setup()
    (transfer, _) = engine.state.transfers.values()
    run.write()
    assert engine.host.ticket(transfer)["connections"] == 0
    assert arrived(engine, list(run.finalize().created[1:]))
    assert "OPTIONS transfer" in (engine.directory / "proxy" / "daemon.log").read_text()


def test_through_the_engine_if_the_host_is_not_reached(engine: EngineSimulator, conversion: Run) -> None:
    engine.host.port = _closed_port()
    assert arrived(engine, upload(conversion()))


def test_direct_is_direct(engine: EngineSimulator, conversion: Run) -> None:
    run = conversion(("rhv-direct", None))
    (service, _) = run.setup().disks
    assert isinstance(service, NbdkitPlugin)
    assert [key for key, _ in service.secrets] == ["url"]


def test_on_a_host_of_ovirt_the_transfer_is_its_own(engine: EngineSimulator, conversion: Run, tmp_path: Path) -> None:
    hardware = tmp_path / "vdsm.id"
    hardware.write_text(f"{HARDWARE_ID}\n")
    local = type("OnHost", (Hurried,), {"vdsm_id": hardware})
    host = next(iter(engine.state.hosts.values()))
    other = dataclasses.replace(host, id="00000000-0000-4000-8000-000000000001", hardware_id="other")
    engine.state.hosts = {other.id: other, host.id: host}
    run = conversion(plugin_class=local)
    run.setup()
    assert {transfer.host for transfer in engine.state.transfers.values()} == {host.id}
    run.abort()
    host.status = "maintenance"
    run.setup()
    assert other.id in {transfer.host for transfer in engine.state.transfers.values()}
    run.abort()


def test_ids_that_the_user_chose(engine: EngineSimulator, conversion: Run) -> None:
    chosen = ["3f0a3c1e-0000-4000-8000-000000000001", "3f0a3c1e-0000-4000-8000-000000000002"]
    disks = upload(conversion(*(("ovirt-disk-uuid", each) for each in chosen)))
    assert disks == chosen
    assert arrived(engine, disks)


def test_another_users_disk_with_that_id_is_left_alone(engine: EngineSimulator, conversion: Run) -> None:
    """The other user creates it after our check and before our creation."""
    chosen = ["3f0a3c1e-0000-4000-8000-000000000001", "3f0a3c1e-0000-4000-8000-000000000002"]

    def theirs() -> None:
        disk = engine.add_disk("theirs", id=chosen[0])
        transfer = Transfer(disk.id, next(iter(engine.state.hosts)), 60, "cancel", phase="transferring")
        engine.state.transfers[transfer.id] = transfer

    engine.faults["disks.add"] = Fault(times=1, action=theirs)
    run = conversion(*(("rhv-disk-uuid", each) for each in chosen))
    run.check()
    with pytest.raises(DestinationError, match="already exists"):
        run.setup()
    run.abort()
    assert [disk.alias for disk in engine.state.disks.values()] == ["theirs"]
    assert [transfer.phase for transfer in engine.state.transfers.values()] == ["transferring"]
    assert not run.report.warnings


def test_vm_has_what_the_ovf_says(engine: EngineSimulator, conversion: Run) -> None:
    run = conversion(name="web.example-1")
    disks = upload(run)
    (machine,) = engine.state.machines.values()
    assert (machine.name, machine.status, machine.disks) == ("web.example-1", "down", disks)
    assert engine.state.clusters[machine.cluster].name == "Default"
    assert [nic["MACAddress"] for nic in machine.hardware["nics"]] == ["52:54:00:12:34:56"]


REFUSED: list[tuple[str, dict[str, Any], tuple[tuple[str, str | None], ...], type[V2VError]]] = [
    ("no engine was named", {"connection": None}, (), UsageError),
    ("no password was given", {"password_file": None}, (), UsageError),
    ("no storage domain was named", {"storage": None}, (), UsageError),
    ("must not hold a password", {"connection": "https://admin@internal:x@localhost/ovirt-engine/api"}, (), UsageError),
    ("is not the URL of an engine", {"connection": "http://localhost/ovirt-engine/api"}, (), UsageError),
    ("is not the URL of an engine", {"connection": "https://[::1/"}, (), UsageError),
    ("cannot be the name of a storage domain", {"storage": "a or name=*"}, (), UsageError),
    ("has no storage domain 'nowhere'", {"storage": "nowhere"}, (), DestinationError),
    ("is not active, but maintenance", {"storage": "asleep"}, (), DestinationError),
    ("is not a data domain, but export", {"storage": "export1"}, (), DestinationError),
    ("is not attached to a data centre", {"storage": "loose"}, (), DestinationError),
    ("'Nowhere' is not in the engine", {}, (("rhv-cluster", "Nowhere"),), DestinationError),
    ("'Far' is in another data centre", {}, (("rhv-cluster", "Far"),), DestinationError),
    ("has no CPU architecture", {}, (("rhv-cluster", "New"),), DestinationError),
    ("exclude each other", {}, (("rhv-direct", None), ("ovirt-proxy", None)), UsageError),
    ("is not a UUID", {}, (("rhv-disk-uuid", "x"),), UsageError),
    ("was given 1 times, and the guest has 2 disks", {}, (("rhv-disk-uuid", HARDWARE_ID),), UsageError),
    ("cannot be sparse", {"storage": "lun1", "format_given": True}, (), UsageError),
    ("cannot be qcow2", {"format": "qcow2", "allocation": "preallocated"}, (), UsageError),
    ("format 'vmdk' is not supported", {"format": "vmdk"}, (), UsageError),
    ("the password cannot be read", {"password_file": Path("/nonexistent")}, (), DestinationError),
]


@pytest.mark.parametrize(("message", "settings", "options", "kind"), REFUSED, ids=[row[0] for row in REFUSED])
def test_mistakes_are_found_before_the_conversion(
    engine: EngineSimulator,
    conversion: Run,
    message: str,
    settings: dict[str, Any],
    options: tuple[tuple[str, str | None], ...],
    kind: type[V2VError],
) -> None:
    with pytest.raises(kind, match=message) as refused:
        conversion(*options, **settings).check()
    assert refused.value.hint
    assert "\n" not in refused.value.message
    assert not {"disks.add", "transfers.add", "vms.add"} & set(engine.calls)


def test_id_that_is_taken(engine: EngineSimulator, conversion: Run) -> None:
    taken = engine.add_disk("theirs")
    options = (("rhv-disk-uuid", HARDWARE_ID), ("rhv-disk-uuid", taken.id))
    with pytest.raises(DestinationError, match=f"has a disk {taken.id} already"):
        conversion(*options).check()


@pytest.mark.parametrize(
    ("free", "settings", "enough"),
    [
        (5 * 2**30, {}, False),
        (5 * 2**30 + 4096, {}, True),
        (5 * 2**30 + 4096, {"allocation": "preallocated"}, False),
        (5 * 2**30 + 2 * 2**20, {"allocation": "preallocated"}, True),
        (5 * 2**30 + 4096, {"storage": "lun1"}, False),
        (None, {"allocation": "preallocated"}, True),
    ],
)
def test_free_space(
    engine: EngineSimulator, conversion: Run, free: int | None, settings: dict[str, Any], enough: bool
) -> None:
    """The engine reserves 5 GiB. The final size of a sparse file is not known in advance."""
    for name in ("data1", "lun1"):
        engine.domain(name).available = free
    run = conversion(**settings)
    if enough:
        run.check()
        return
    with pytest.raises(DestinationError, match="not enough space"):
        run.check()


def test_engine_that_is_not_trusted(conversion: Run, tmp_path: Path, engine: EngineSimulator) -> None:
    other = Certificates.make(tmp_path / "tls")
    plugin = check_plugin(Role.OUTPUT, "rhv-upload", Hurried, "the plugin under test")

    def settings(*options: tuple[str, str | None]) -> OutputRun:
        run = conversion()
        given = plugin.check_options((("rhv-cafile", str(other.authority)), *options))
        run.settings = dataclasses.replace(run.settings, options=given)
        return run

    with pytest.raises(DestinationError, match="certificate of the engine localhost is not trusted") as refused:
        settings().check()
    assert "rhv-cafile" in str(refused.value.hint)
    assert arrived(engine, upload(settings(("ovirt-verifypeer", "false"))))


def test_engine_that_is_not_there(conversion: Run) -> None:
    with pytest.raises(DestinationError, match="cannot be reached"):
        conversion(connection=f"https://localhost:{_closed_port()}/ovirt-engine/api").check()


def test_server_that_is_no_engine(engine: EngineSimulator, conversion: Run) -> None:
    with pytest.raises(DestinationError, match="localhost") as refused:
        conversion(connection=f"https://localhost:{engine.port}/nothing").check()
    assert refused.value.hint


def test_guest_of_another_architecture(engine: EngineSimulator, conversion: Run) -> None:
    """The architecture is known only after the conversion, which may come after setup; finalize changes nothing."""
    run = conversion(("rhv-cluster", "Power"))
    run.check()
    run.setup()
    calls = len(engine.calls)
    with pytest.raises(DestinationError, match="the cluster 'Power' is ppc64, the guest is x86_64"):
        run.finalize()
    assert len(engine.calls) == calls
    assert run.abort().left == ()
    assert not engine.state.disks


def test_guest_of_another_architecture_that_is_converted_already(engine: EngineSimulator, conversion: Run) -> None:
    """Then setup finds it, before the copy, and creates nothing."""
    run = conversion(("rhv-cluster", "Power"))
    with pytest.raises(DestinationError, match="the cluster 'Power' is ppc64, the guest is x86_64"):
        run.plugin.output_setup(dataclasses.replace(run.setup_request(), target=run.target))
    assert run.owned() == ()
    assert not engine.state.disks


def test_what_needs_no_guest_is_checked_before_there_is_one(engine: EngineSimulator, conversion: Run) -> None:
    run = conversion()
    request = run.precheck_request()
    assert run.plugin.output_precheck(request) == OutputCheckResult()
    # the name comes from the source
    run.plugin.output_precheck(dataclasses.replace(request, settings=dataclasses.replace(request.settings, name="")))
    assert not engine.state.disks
    for wrong in ({"storage": "nosuch"}, {"connection": "https://localhost:1/ovirt-engine/api"}):
        with pytest.raises(DestinationError):
            conversion(**wrong).precheck()
    upload(run)
    for overwrite in (False, True):
        settings = dataclasses.replace(request.settings, overwrite=overwrite)
        with pytest.raises(DestinationError, match="has a virtual machine") as refused:
            run.plugin.output_precheck(dataclasses.replace(request, settings=settings))
    assert "--overwrite replaces no virtual machine" in (refused.value.hint or "")


def test_expired_sessions_are_renewed(engine: EngineSimulator, conversion: Run) -> None:
    """The engine ends all sessions again and again, and the output logs in each time."""
    for call in ("disks.get", "transfers.get", "jobs.list"):
        engine.faults[call] = Fault(times=1, action=engine.forget_sessions)
    assert arrived(engine, upload(conversion()))


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"disk": "never"}, r"disk 1 .* is still locked by the engine"),
        ({"disk": "illegal"}, r"disk 1 .* became unusable"),
        ({"transfer": "never"}, r"the transfer of disk 1 .* did not begin within"),
        ({"transfer": "paused_system"}, r"the transfer of disk 1 .* did not begin: it is paused by the system"),
        ({"transfer": "finished_failure"}, r"the transfer of disk 1 .* did not begin: it is failed"),
    ],
)
def test_setup_that_does_not_come_to_an_end(
    engine: EngineSimulator, conversion: Run, behaviour: dict[str, str], message: str
) -> None:
    for name, value in behaviour.items():
        setattr(engine.behaviour, name, value)
    run = conversion()
    with pytest.raises(DestinationError, match=message) as refused:
        run.setup()
    assert refused.value.hint
    run.abort()
    left = [disk.id for disk in engine.state.disks.values()]
    assert not left or left[0] in run.report.warnings[-1]


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ({"finalized": "never"}, "did not finalize the transfer of disk 1"),
        ({"finalized": "finished_failure"}, "could not finalize the transfer of disk 1"),
        ({"job": "never"}, "is still making the virtual machine"),
        ({"job": "failed"}, r"could not make the virtual machine: Importing VM guest .*\(failed\)"),
    ],
)
def test_finalize_that_fails(engine: EngineSimulator, conversion: Run, behaviour: dict[str, str], message: str) -> None:
    run = conversion()
    run.setup()
    run.write()
    for name, value in behaviour.items():
        setattr(engine.behaviour, name, value)
    with pytest.raises(DestinationError, match=message) as refused:
        run.finalize()
    assert refused.value.hint
    run.abort()
    left = [*engine.state.disks, *engine.state.machines]
    assert all(any(identity in warning for warning in run.report.warnings) for identity in left)


@pytest.mark.parametrize("finalized", [False, True])
def test_abort_goes_on_when_the_engine_answers_again(engine: EngineSimulator, conversion: Run, finalized: bool) -> None:
    neighbour = engine.add_machine("neighbour")
    run = conversion()
    run.setup()
    if finalized:
        run.write()
        run.finalize()
    engine.go_down()
    recorded = run.owned()
    assert [thing.kind for thing in recorded] == [MARK, DISK, DISK, *([MACHINE] if finalized else [])]
    for _ in range(2):
        run.report.warnings.clear()
        assert run.abort().left == recorded
        assert run.owned() == recorded
        (warning,) = run.report.warnings
        assert "the engine localhost cannot be reached" in warning
    engine.come_back()
    run.report.warnings.clear()
    assert run.abort().left == ()
    assert run.owned() == ()
    assert set(engine.state.disks) == set(neighbour.disks)
    assert set(engine.state.machines) == {neighbour.id}
    assert not engine.running_transfers()


def test_abort_goes_on_with_a_disk_that_was_locked(engine: EngineSimulator, conversion: Run) -> None:
    """The mark stays in the ledger with the disk: without it, no later attempt would find the disk to be ours."""
    run = conversion()
    run.setup()
    mark, first, second = run.owned()
    engine.state.disks[second.identity].status = "locked"
    engine.behaviour.removal = "never"
    for transfer in engine.running_transfers():
        if transfer.disk == first.identity:
            engine.pause(transfer)
            del engine.state.disks[first.identity]
    assert run.abort().left == (mark, second)
    assert second.identity in run.report.warnings[-1]
    engine.behaviour.removal = "gone"
    engine.state.disks[second.identity].status = "ok"
    assert run.abort().left == ()
    assert not engine.state.disks


def test_abort_goes_on_with_a_machine_that_was_locked(engine: EngineSimulator, conversion: Run) -> None:
    """No disk is left, so the mark is not needed any more."""
    run = conversion()
    upload(run)
    (machine,) = engine.state.machines.values()
    machine.status = "image_locked"
    left = run.abort().left
    assert [(thing.kind, thing.identity) for thing in left] == [(MACHINE, machine.id)]
    machine.status = "down"
    assert run.abort().left == ()
    assert not engine.state.machines
    assert not engine.state.disks


def test_abort_without_a_disk_does_not_ask_the_engine(engine: EngineSimulator, conversion: Run) -> None:
    """Setup failed before it created the first one."""
    run = conversion()
    run.account.record(MARK, "0" * 32)
    engine.go_down()
    assert run.abort().left == ()
    assert not run.report.warnings


def test_disks_are_written_through_a_sink_that_gets_the_address(engine: EngineSimulator, conversion: Run) -> None:
    run = conversion()
    setup = run.setup()
    assert (setup.sink, setup.copier) == (True, None)
    assert len(set(setup.identities)) == len(run.target.disks)
    private = run.setup_request().directory
    told = {read_address(address_file(private, disk.index)).url.rpartition("/")[2] for disk in run.target.disks}
    assert told == {transfer.ticket for transfer in engine.state.transfers.values()}


def test_secrets_are_in_no_command_line(engine: EngineSimulator, conversion: Run) -> None:
    """No argument list, environment or log of a server contains the password or a ticket."""
    run = conversion()
    setup = run.setup()
    tickets = [transfer.ticket for transfer in engine.state.transfers.values()]
    for service in setup.disks:
        assert isinstance(service, NbdkitPlugin)
        shown = repr(service) + repr(service.parameters) + repr(service.environment)
        assert not [ticket for ticket in tickets if ticket in shown]
    run.write()
    logged = run.report.said + "".join(path.read_text() for path in run.directory.path.rglob("*.log"))
    assert not [ticket for ticket in tickets if ticket in logged]
    assert engine.password_file.read_text().strip() not in logged


def test_nbdkit_without_python(engine: EngineSimulator, conversion: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBDKIT_PLUGINDIR", "/nonexistent")
    stand_in = engine.directory / "bin"
    stand_in.mkdir(exist_ok=True)
    (stand_in / "nbdkit").write_text("#!/bin/sh\necho 'nbdkit: error: cannot open plugin' >&2\nexit 1\n")
    (stand_in / "nbdkit").chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(DestinationError, match="nbdkit has no plugin for Python") as refused:
        conversion().check()
    assert "nbdkit-plugin-python" in str(refused.value.hint)


def test_later_steps_need_nothing_but_the_directory(conversion: Run) -> None:
    """Finalize needs only what setup has left, even when the CA file is gone."""
    run = conversion()
    run.check()
    run.setup()
    run.write()
    gone = {"rhv-cafile": ("/nonexistent/ca.pem",)}
    run.settings = dataclasses.replace(
        run.settings, options=dataclasses.replace(run.settings.options, values={**run.settings.options.values, **gone})
    )
    assert run.finalize().created
    assert metadata.read_target(run.directory.metadata_out) == run.target


def test_helper_commands_are_installed() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("helper-v2v-output-rhv-upload"), "--help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _closed_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
