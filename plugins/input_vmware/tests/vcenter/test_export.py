# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -it export`` with the simulator's exports: several disks, faults on the way, the end of the lease."""

from __future__ import annotations

import hashlib
import os
import random
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export_stream import as_sent, made_by_qemu
from v2v_core.api import (
    AbortResult,
    InputAbortRequest,
    InputVersionsRequest,
    OptionValues,
    OwnedObject,
    QemuImage,
    SourceError,
    UsageError,
)
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract, files_with_secret
from v2v_input_vmware.vcenter import download, lease, room
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_input import refused, setup
from vcenter_simulator import PASSWORD, Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def _content(seed: int) -> bytes:
    made = random.Random(seed)  # noqa: S311 - the same bytes in each run
    return b"".join((made.randbytes(300_000), bytes(500_000), b"disk " * 100_000)).ljust(2 * 1024 * 1024, b"\0")


CONTENTS = (_content(1), _content(2))


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine with two disks and their streams, and return its moref."""
    return _add(vcenter, tmp_path_factory.mktemp("images"), "exported")


def _add(vcenter: Vcenter, directory: Path, name: str, contents: tuple[bytes, ...] = CONTENTS, **more: Any) -> str:
    images = [directory / f"image{number}" for number in range(len(contents))]
    for image, content in zip(images, contents, strict=True):
        image.write_bytes(content)
    moref = vcenter.add_vm(name, images, **more)
    for number, content in enumerate(contents):
        vcenter.stream_of(name, number).write_bytes(as_sent(content))
    return moref


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 640 KiB, in which half a disk has room."""
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=640k", "small", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture(autouse=True)
def without_faults(vcenter: Vcenter, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make retries quick, and take the faults of each test back."""
    monkeypatch.setattr(download, "DELAY", 0.05)
    monkeypatch.setattr(lease, "LOOK", 0.05)
    yield
    vcenter.control("export")


def _leases(vcenter: Vcenter) -> list[list[str]]:
    return [line.split(" ") for line in vcenter.control("leases").splitlines()]


def _exported(
    vcenter: Vcenter, tmp_path: Path, name: str = "exported", **more: Any
) -> tuple[list[bytes], FakeReporter]:
    """Run the set-up and return the contents of its images and the reporter."""
    result, report = setup(vcenter, tmp_path, name, transport="export", **more)
    images = [disk for disk in result.disks if isinstance(disk, QemuImage)]
    assert [image.format for image in images] == ["raw"] * len(result.disks)
    assert all(image.backing is None for image in images)
    return [image.path.read_bytes() for image in images], report


class TestContract(InputPluginContract):
    plugin_class = VcenterInput
    in_place = False

    @pytest.fixture
    def example(self, vcenter: Vcenter, guest: str) -> InputExample:
        return InputExample(
            arguments=("exported",),
            connection=vcenter.uri,
            password_file=vcenter.password_file,
            transport="export",
            options=(("ca-file", str(vcenter.certificate)),),
            contents=CONTENTS,
            files=tuple((vcenter.datastore / "exported").iterdir()),
        )


def test_who_may_not_log_in(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    before = len(_leases(vcenter))
    assert (
        "wrong user or password" in refused(vcenter, tmp_path, "exported", transport="export", password_file=wrong)[0]
    )
    assert "not trusted" in refused(vcenter, tmp_path, "exported", transport="export", options={})[0]
    assert len(_leases(vcenter)) == before


def test_two_disks_at_once(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?rate=2000000&prepare=200")
    temporary = tmp_path / "large"
    temporary.mkdir()
    contents, report = _exported(vcenter, tmp_path, temporary=temporary)
    assert contents == list(CONTENTS)
    assert {path.name for path in temporary.iterdir()} == {"disk1.raw", "disk2.raw"}
    assert all(path.stat().st_blocks * 512 < 1_500_000 for path in temporary.iterdir()), "zeros are stored"
    _, state, _, _, most = _leases(vcenter)[-1]
    assert (state, most) == ("done", "2")
    assert report.warnings == []
    for number in (1, 2):
        steps = [(done, total) for done, total, disk in report.progresses if disk == number]
        assert steps == sorted(steps)
        assert steps[-1] == (len(CONTENTS[0]), len(CONTENTS[0]))
    # the session is logged out, and nothing is left for the cleanup
    assert not (tmp_path / "export.json").exists()


def test_one_after_the_other(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    options = {"ca-file": str(vcenter.certificate), "export-parallel": "1"}
    assert _exported(vcenter, tmp_path, options=options)[0] == list(CONTENTS)
    assert _leases(vcenter)[-1][1] == "done"
    assert _leases(vcenter)[-1][4] == "1"


def test_streams_of_qemu(vcenter: Vcenter, tmp_path: Path) -> None:
    _add(vcenter, tmp_path, "of qemu")
    for number in (0, 1):
        made_by_qemu(tmp_path / f"image{number}", vcenter.stream_of("of qemu", number))
    assert _exported(vcenter, tmp_path, "of qemu")[0] == list(CONTENTS)


@pytest.mark.parametrize("fault", ["cut=100000", "short=100000", "flip=100000", "status=503", "cut=0", "short=0"])
def test_an_interrupted_stream_begins_again(vcenter: Vcenter, guest: str, tmp_path: Path, fault: str) -> None:
    vcenter.control(f"export?{fault}&times=2&disk=disk-1.vmdk")
    contents, report = _exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert _leases(vcenter)[-1][1] == "done"
    assert len(report.warnings) == 2
    assert all("exported_1.vmdk" in line and "begins again" in line for line in report.warnings)


@pytest.mark.parametrize(
    ("fault", "why", "remedy"),
    [
        ("cut=100000", "the connection was cut", "must reach localhost"),
        ("short=100000", "ends within a grain", "network"),
        ("status=503", "HTTP status 503", "52 connections"),
        ("status=404", "HTTP status 404", "ended the export"),
    ],
)
def test_a_stream_that_never_arrives(
    vcenter: Vcenter, guest: str, tmp_path: Path, fault: str, why: str, remedy: str
) -> None:
    vcenter.control(f"export?{fault}")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "exported.vmdk" in message or "exported_1.vmdk" in message
    assert why in message
    assert remedy in hint
    assert _leases(vcenter)[-1][1] == "error", "the lease was not aborted"
    assert not (tmp_path / "export.json").exists()


def test_other_checksums_than_the_server_says(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?digest=wrong&times=1")
    contents, report = _exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert all("its SHA256 is" in line and "it is downloaded again" in line for line in report.warnings)
    assert report.warnings
    vcenter.control("export?digest=wrong")
    message, _ = refused(vcenter, tmp_path, "exported", transport="export")
    assert "was damaged on the way, 5 times: its SHA256 is" in message
    assert _leases(vcenter)[-1][1] == "error"


def test_without_a_manifest(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?manifest=none")
    contents, report = _exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert any("gives no checksums of all disks" in line for line in report.infos)


def test_a_lease_is_kept_alive(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    """The download takes three times as long as a lease lives without a sign of life."""
    vcenter.control("export?timeout=1&rate=150000")
    assert _exported(vcenter, tmp_path)[0] == list(CONTENTS)
    assert _leases(vcenter)[-1][1] == "done"
    assert int(_leases(vcenter)[-1][2]) >= 6


def test_a_lease_that_ends_early(vcenter: Vcenter, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease.Lease, "renew", lambda *_: None)
    vcenter.control("export?timeout=1&rate=100000")
    message, _ = refused(vcenter, tmp_path, "exported", transport="export")
    assert "HTTP status 404" in message


def test_a_session_that_ends_early(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?timeout=2&rate=100000")
    timer = threading.Timer(0.7, vcenter.control, ["expire"])
    timer.start()
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    timer.join()
    assert "has ended the export" in message
    assert "run again" in hint


def test_the_server_cannot_prepare_it(
    vcenter: Vcenter, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vcenter.control("export?refuse=error&prepare=100")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "exported cannot be exported: the server says" in message
    assert "too many NFC connections" in message
    assert "52 connections" in hint
    monkeypatch.setattr(lease, "PREPARE", 0.3)
    vcenter.control("export?refuse=hang")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "did not prepare the export within" in message
    assert _leases(vcenter)[-1][1] == "error", "the lease was not aborted"


@pytest.mark.parametrize("sender", ["*", "127.0.0.1"])
def test_other_hosts_than_the_server_send_the_disks(vcenter: Vcenter, guest: str, tmp_path: Path, sender: str) -> None:
    """An ESXi host is verified by the thumbprint that the vCenter has of it."""
    right = hashlib.sha1(ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text()), usedforsecurity=False).hexdigest()
    colons = ":".join(right[at : at + 2] for at in range(0, 40, 2)).upper()
    vcenter.control(f"export?sender={sender}&thumbprint={colons}")
    assert _exported(vcenter, tmp_path)[0] == list(CONTENTS)
    if sender == "*":
        # it is the server itself, which was verified before
        return
    vcenter.control(f"export?sender={sender}&thumbprint={'00:' * 19}00")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert f"the certificate of 127.0.0.1 has the thumbprint {right}" in message
    assert "intercept" in hint
    # without a thumbprint it is verified like the server's: the name in it is another one
    vcenter.control(f"export?sender={sender}")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "the certificate of 127.0.0.1, which sends" in message
    assert "is not trusted" in message
    assert "ca-file" in hint
    assert _leases(vcenter)[-1][1] == "error"


def test_a_host_that_cannot_be_resolved(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?sender=esxi.invalid")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "could not be downloaded from esxi.invalid" in message
    assert "resolve and reach esxi.invalid" in hint


def test_the_session_is_logged_out(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    before = vcenter.control("sessions")
    _exported(vcenter, tmp_path)
    assert vcenter.control("sessions") == before
    vcenter.control("export?cut=1")
    refused(vcenter, tmp_path, "exported", transport="export")
    assert vcenter.control("sessions") == before


def _power_on(vcenter: Vcenter, name: str, *, snapshots: tuple[str, ...] = ()) -> list[str]:
    """Take snapshots of a machine, switch it on, and return the morefs of the snapshots."""
    from pyVim.task import WaitForTask

    found = []
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
        for snapshot in snapshots:
            task = vm.CreateSnapshot_Task(name=snapshot, memory=False, quiesce=False)
            WaitForTask(task, si=service)
            found.append(str(task.info.result._moId))
        WaitForTask(vm.PowerOnVM_Task(), si=service)
    return found


def test_a_running_guest_needs_a_snapshot(vcenter: Vcenter, tmp_path: Path) -> None:
    _add(vcenter, tmp_path, "running")
    first, _, _ = _power_on(vcenter, "running", snapshots=("before", "twice", "twice"))
    before = len(_leases(vcenter))
    message, hint = refused(vcenter, tmp_path, "running", transport="export")
    assert "it is running" in message
    assert "-io export-snapshot" in hint
    trusted = {"ca-file": str(vcenter.certificate)}
    message, _ = refused(vcenter, tmp_path, "running", transport="export", options={**trusted, "export-snapshot": "no"})
    assert "has no snapshot no; it has: before (" in message
    message, _ = refused(
        vcenter, tmp_path, "running", transport="export", options={**trusted, "export-snapshot": "twice"}
    )
    assert "has 2 snapshots called twice" in message
    assert len(_leases(vcenter)) == before
    for wanted in ("before", first, f"moref={first}"):
        options = {**trusted, "export-snapshot": wanted}
        assert _exported(vcenter, tmp_path, "running", options=options)[0] == list(CONTENTS)
    assert _leases(vcenter)[-1][1] == "done"


def test_a_guest_that_is_switched_on_at_the_last_moment(
    vcenter: Vcenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses it, too."""
    from v2v_input_vmware.vcenter import checks

    _add(vcenter, tmp_path, "too late")
    _power_on(vcenter, "too late")
    monkeypatch.setattr(checks, "check_machine", lambda *_, **__: None)
    message, hint = refused(vcenter, tmp_path, "too late", transport="export")
    assert "too late cannot be exported: it is running" in message
    assert "export-snapshot" in hint
    assert not (tmp_path / "export.json").exists()


def test_a_guest_that_is_being_exported(vcenter: Vcenter, tmp_path: Path) -> None:
    _add(vcenter, tmp_path, "busy")
    with vcenter.service() as service:
        other = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/busy").ExportVm()
        message, hint = refused(vcenter, tmp_path, "busy", transport="export")
        other.Abort()
    assert "busy cannot be exported: another task is running on it" in message
    assert "wait" in hint


def test_an_unusual_order_of_disks(vcenter: Vcenter, tmp_path: Path) -> None:
    """Disks are told apart by controller and unit, not by their order in the lease."""
    from pyVmomi import vim

    devices = [vim.vm.device.VirtualAHCIController(key=15000, busNumber=0)]
    contents = (_content(5), _content(6), _content(7)[: 1024 * 1024])
    places = [(15000, 3), (1000, 2), (1000, 0)]
    _add(vcenter, tmp_path, "mixed", contents, devices=devices, places=places)
    assert _exported(vcenter, tmp_path, "mixed")[0] == [contents[2], contents[1], contents[0]]


def test_a_stream_of_another_disk(vcenter: Vcenter, tmp_path: Path) -> None:
    _add(vcenter, tmp_path, "swapped")
    vcenter.stream_of("swapped", 1).write_bytes(as_sent(bytes(1024 * 1024)))
    message, _ = refused(vcenter, tmp_path, "swapped", transport="export")
    assert "it holds a disk of 1048576 bytes, and the inventory says 2097152" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_no_room(vcenter: Vcenter, guest: str, tmp_path: Path, small_file_system: Path) -> None:
    """The download stops, and the lease ends."""
    message, hint = refused(vcenter, tmp_path, "exported", transport="export", temporary=small_file_system)
    assert "cannot be stored: " in message
    assert "of the disk's 2 MiB were still to be read" in message
    assert "VIRT_V2V_TMPDIR" in hint
    assert _leases(vcenter)[-1][1] == "error"


def test_room_is_checked_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "free_space", lambda _: 5 * 1024**3)
    size, report = 20 * 1024**3, FakeReporter()
    thin = VmDisk(label="d", bus=None, file="[s] d.vmdk", datastore="s", path="d.vmdk", size=size, key=2000, thin=True)
    thick = replace(thin, key=2001, thin=False)
    with pytest.raises(SourceError, match=r"5\.0 GiB are free, 6\.0 GiB are needed"):
        room.check_room([thin], {2000: (6 * 1024**3, True)}, tmp_path, report)
    room.check_room([thin], {2000: (4 * 1024**3, True)}, tmp_path, report)
    assert report.warnings == []
    # how much of a thick disk is zero, only the download shows
    room.check_room([thick], {2001: (size, True)}, tmp_path, report)
    (warning,) = report.warnings
    assert "5.0 GiB are free, and the disks may take 20.0 GiB" in warning


def test_only_the_metadata(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    before = len(_leases(vcenter))
    result, _ = setup(vcenter, tmp_path, "exported", transport="export", metadata_only=True)
    sizes = [disk.path.stat().st_size for disk in result.disks if isinstance(disk, QemuImage)]
    assert sizes == [len(content) for content in CONTENTS]
    program = Path(sys.executable).with_name("virt-v2v")
    argv = [program, "-i", "vcenter", *vcenter.options, "-it", "export", "exported", "--print-source"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "source name: exported" in done.stdout
    assert len(_leases(vcenter)) == before


@pytest.mark.parametrize("value", ["0", "33", "x", "-1", ""])
def test_numbers_of_disks_that_are_none(vcenter: Vcenter, tmp_path: Path, value: str) -> None:
    with pytest.raises(UsageError, match="is not a number from 1 to 32"):
        setup(vcenter, tmp_path, "exported", transport="export", options={"export-parallel": value})


def test_its_options_are_for_exports_only(vcenter: Vcenter, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-io export-snapshot is for -it export"):
        setup(vcenter, tmp_path, "exported", options={"export-snapshot": "s"})


@pytest.mark.parametrize("transport", ["https", "export"])
def test_versions(vcenter: Vcenter, tmp_path: Path, transport: str) -> None:
    """A machine that was switched on in between has other versions, and so has each changed disk."""
    moref = _add(vcenter, tmp_path, f"versions {transport}")
    vcenter.control(f"changed?vm={moref}")
    result, _ = setup(vcenter, tmp_path, f"versions {transport}", transport=transport, metadata_only=True)
    request = InputVersionsRequest(
        directory=tmp_path,
        report=FakeReporter(),
        arguments=(f"versions {transport}",),
        connection=vcenter.uri,
        transport=transport,
        password_file=vcenter.password_file,
        options=OptionValues(values={"ca-file": (str(vcenter.certificate),)}),
    )
    assert len(set(result.versions)) == 2
    assert VcenterInput().v2v_input_versions(request).versions == result.versions
    vcenter.control(f"changed?vm={moref}")
    changed = VcenterInput().v2v_input_versions(request).versions
    assert all(new != old for new, old in zip(changed, result.versions, strict=True))


class TestKilled:
    """The run is killed in the middle of a download: the cleanup ends the lease and the session."""

    def test_kill(self, vcenter: Vcenter, guest: str, v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(v2v_short_path / "state"))
        before = vcenter.control("sessions")
        vcenter.control("export?rate=50000")
        run, programs = v2v_short_path / "run", Path(sys.executable).parent
        argv = [programs / "helper-v2v-input-vcenter", "--dir", run, *vcenter.options, "-it", "export", "exported"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as helper:
            try:
                _wait_for(lambda: any(path.stat().st_size for path in run.rglob("disk2.raw")), helper)
            finally:
                helper.kill()
        assert _leases(vcenter)[-1][1] == "ready"
        holding = files_with_secret(run, PASSWORD)
        assert holding == []
        kept = run / "input/export.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        argv = [programs / "helper-v2v-cleanup", "--dir", run]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "left behind" not in done.stderr
        assert not run.exists()
        assert _leases(vcenter)[-1][1] == "error"
        assert vcenter.control("sessions") == before

    def test_interrupt(self, vcenter: Vcenter, guest: str, v2v_short_path: Path) -> None:
        """SIGTERM ends the lease at once, though a disk is being downloaded."""
        vcenter.control("export?stall=100000")
        before = vcenter.control("sessions")
        argv = [Path(sys.executable).with_name("helper-v2v-input-vcenter"), "--dir", v2v_short_path / "run"]
        argv += [*vcenter.options, "-it", "export", "exported"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as helper:
            try:
                _wait_for(lambda: any(path.stat().st_size for path in v2v_short_path.rglob("disk2.raw")), helper)
                helper.terminate()
                assert helper.wait(20) != 0
            finally:
                helper.kill()
        assert _leases(vcenter)[-1][1] == "error"
        assert vcenter.control("sessions") == before
        argv = [Path(sys.executable).with_name("helper-v2v-cleanup"), "--dir", v2v_short_path / "run"]
        subprocess.run(argv, capture_output=True, check=True)

    def test_the_session_is_gone_as_well(self, vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
        """The server ended it, and the lease with it: nothing is left."""
        (tmp_path / "export.json").write_text('{"cookie": "vmware_soap_session=\\"gone\\"", "lease": "session[1]x"}')
        assert self._abort(vcenter, tmp_path) == AbortResult()
        assert not (tmp_path / "export.json").exists()

    def test_it_ended_before(self, vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
        assert self._abort(vcenter, tmp_path, connection="https://root@localhost:1/") == AbortResult()

    def test_the_server_is_gone(self, vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
        """The directory and the ledger stay, and the next cleanup asks again."""
        (tmp_path / "export.json").write_text('{"cookie": "vmware_soap_session=x", "lease": "session[1]x"}')
        with pytest.raises(SourceError, match="cannot be reached"):
            self._abort(vcenter, tmp_path, connection="https://root@localhost:1/")
        assert (tmp_path / "export.json").exists()

    @staticmethod
    def _abort(vcenter: Vcenter, tmp_path: Path, connection: str | None = None) -> AbortResult:
        request = InputAbortRequest(
            directory=tmp_path,
            owned=(OwnedObject(kind=lease.KIND, identity="vm-1 (exported)"),),
            report=FakeReporter(),
            arguments=("exported",),
            connection=connection or vcenter.uri,
            transport="export",
            options=OptionValues(values={"ca-file": (str(vcenter.certificate),)}),
        )
        return VcenterInput().v2v_input_abort(request)


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < end
        time.sleep(0.02)
