# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of an export: of streams, hosts, leases, checksums, and of this machine's room."""

from __future__ import annotations

import hashlib
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from export_stream import as_sent
from v2v_core.api import SourceError
from v2v_core.testing import FakeReporter
from v2v_input_vmware.vcenter import download, lease, room
from v2v_input_vmware.vcenter.machine import VmDisk
from vcenter_export import CONTENTS, add_exported, exported, leases, power_on
from vcenter_input import refused
from vcenter_simulator import Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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


def test_who_may_not_log_in(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    before = len(leases(vcenter))
    assert (
        "wrong user or password" in refused(vcenter, tmp_path, "exported", transport="export", password_file=wrong)[0]
    )
    assert "not trusted" in refused(vcenter, tmp_path, "exported", transport="export", options={})[0]
    assert len(leases(vcenter)) == before


@pytest.mark.parametrize("fault", ["cut=100000", "short=100000", "flip=100000", "status=503", "cut=0", "short=0"])
def test_an_interrupted_stream_begins_again(vcenter: Vcenter, guest: str, tmp_path: Path, fault: str) -> None:
    vcenter.control(f"export?{fault}&times=2&disk=disk-1.vmdk")
    contents, report = exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert leases(vcenter)[-1][1] == "done"
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
    assert leases(vcenter)[-1][1] == "error", "the lease was not aborted"
    assert not (tmp_path / "export.json").exists()


def test_other_checksums_than_the_server_says(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?digest=wrong&times=1")
    contents, report = exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert all("its SHA256 is" in line and "it is downloaded again" in line for line in report.warnings)
    assert report.warnings
    vcenter.control("export?digest=wrong")
    message, _ = refused(vcenter, tmp_path, "exported", transport="export")
    assert "was damaged on the way, 5 times: its SHA256 is" in message
    assert leases(vcenter)[-1][1] == "error"


def test_without_a_manifest(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?manifest=none")
    contents, report = exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    assert any("gives no checksums of all disks" in line for line in report.infos)


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
    assert leases(vcenter)[-1][1] == "error", "the lease was not aborted"


def test_a_host_that_stops_sending(
    vcenter: Vcenter, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "READ_TIMEOUT", 0.3)
    vcenter.control("export?stall=100000&times=1&disk=disk-0.vmdk")
    contents, report = exported(vcenter, tmp_path)
    assert contents == list(CONTENTS)
    (warning,) = report.warnings
    assert "no data for 0.3 s" in warning


def _thumbprint(server: Vcenter) -> str:
    digest = hashlib.sha1(ssl.PEM_cert_to_DER_cert(server.certificate.read_text()), usedforsecurity=False).hexdigest()
    return ":".join(digest[at : at + 2] for at in range(0, 40, 2)).upper()


@pytest.mark.parametrize(
    ("sender", "thumbprint"), [("*", "00"), ("*", ""), ("127.0.0.1", "right"), ("127.0.0.1", ""), ("localhost", "")]
)
def test_names_of_the_server_itself(vcenter: Vcenter, guest: str, tmp_path: Path, sender: str, thumbprint: str) -> None:
    """The server may name itself by its address, and is known by its certificate."""
    given = _thumbprint(vcenter) if thumbprint == "right" else thumbprint
    vcenter.control(f"export?sender={sender}&thumbprint={given}")
    assert exported(vcenter, tmp_path)[0] == list(CONTENTS)


def test_another_host_than_the_vcenter_says(vcenter: Vcenter, esxi: Vcenter, guest: str, tmp_path: Path) -> None:
    """An ESXi host is verified by the thumbprint that the vCenter has of it, or else like the vCenter."""
    vcenter.control(f"export?sender=127.0.0.1&thumbprint={_thumbprint(esxi)}")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert f"the certificate of 127.0.0.1 has the thumbprint {_thumbprint(vcenter).replace(':', '').lower()}" in message
    assert "intercept" in hint
    vcenter.control(f"export?sender=127.0.0.1:{esxi.port}")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "the certificate of 127.0.0.1, which sends" in message
    assert "is not trusted" in message
    assert "ca-file" in hint
    # with the right thumbprint it is trusted, and has no such export
    vcenter.control(f"export?sender=127.0.0.1:{esxi.port}&thumbprint={_thumbprint(esxi)}")
    assert "HTTP status 404" in refused(vcenter, tmp_path, "exported", transport="export")[0]
    assert leases(vcenter)[-1][1] == "error"


def test_a_host_that_cannot_be_resolved(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?sender=esxi.invalid")
    message, hint = refused(vcenter, tmp_path, "exported", transport="export")
    assert "could not be downloaded from esxi.invalid" in message
    assert "resolve and reach esxi.invalid" in hint


def test_a_guest_that_is_switched_on_at_the_last_moment(
    vcenter: Vcenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server refuses it, too."""
    from v2v_input_vmware.vcenter import checks

    add_exported(vcenter, tmp_path, "too late")
    power_on(vcenter, "too late")
    monkeypatch.setattr(checks, "check_machine", lambda *_, **__: None)
    message, hint = refused(vcenter, tmp_path, "too late", transport="export")
    assert "too late cannot be exported: it is running" in message
    assert "export-snapshot" in hint
    assert not (tmp_path / "export.json").exists()


def test_a_guest_that_is_being_exported(vcenter: Vcenter, tmp_path: Path) -> None:
    add_exported(vcenter, tmp_path, "busy")
    with vcenter.service() as service:
        other = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/busy").ExportVm()
        message, hint = refused(vcenter, tmp_path, "busy", transport="export")
        other.Abort()
    assert "busy cannot be exported: another task is running on it" in message
    assert "wait" in hint


def test_a_stream_of_another_disk(vcenter: Vcenter, tmp_path: Path) -> None:
    add_exported(vcenter, tmp_path, "swapped")
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
    assert leases(vcenter)[-1][1] == "error"


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


def test_what_is_whole_is_not_downloaded_again(vcenter: Vcenter, tmp_path: Path) -> None:
    """The second disk never arrives. The next attempt in the directory takes only that one, if nothing has changed."""
    moref = add_exported(vcenter, tmp_path, "twice")
    vcenter.control(f"changed?vm={moref}")
    downloaded = "was downloaded: "

    def again() -> list[str]:
        contents, report = exported(vcenter, tmp_path, "twice")
        assert contents == list(CONTENTS)
        return [line for line in report.infos if downloaded in line]

    vcenter.control("export?cut=100000&disk=disk-1.vmdk&rate=2000000")
    options = {"ca-file": str(vcenter.certificate), "export-parallel": "1"}
    refused(vcenter, tmp_path, "twice", transport="export", options=options)
    vcenter.control("export")
    (line,) = again()
    assert "twice_1.vmdk" in line
    count = len(leases(vcenter))
    assert again() == []
    assert len(leases(vcenter)) == count, "there is nothing to export"
    # another size of the file, or another version of the machine: everything is downloaded again
    with (tmp_path / "disk1.raw").open("ab") as stream:
        stream.write(b"more")
    (line,) = again()
    assert "twice.vmdk" in line
    vcenter.control(f"changed?vm={moref}")
    assert len(again()) == 2


def test_without_a_version_everything_is_downloaded_again(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    """The simulator's machines have no version, so that nothing would tell of a change."""
    for _ in range(2):
        _, report = exported(vcenter, tmp_path)
        assert len([line for line in report.infos if "was downloaded: " in line]) == 2
