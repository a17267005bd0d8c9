# SPDX-License-Identifier: GPL-2.0-or-later
"""An appliance that libguestfs keeps and that does not start: another is built for the run, with a warning."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_convert_guestfs.appliance import Appliance
from v2v_convert_guestfs.appliance_cache import ready_made_appliance
from v2v_convert_guestfs.host.appliance_probe import probe_appliance_boots
from v2v_core.api import ConversionError, ConvertRequest, ConvertSettings, DiskEndpoint, Guest, SourceDisk, Status
from v2v_core.testing import FakeReporter

_UDEV = "error: udev not found!  Things will probably not work ..."
#: The files that dpkg was just replacing.
_BROKEN = ("/usr/lib/systemd/systemd-udevd", "/usr/bin/udevadm")


@pytest.fixture(scope="module")
def broken_appliance(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an appliance as libguestfs does, and take out of it what it looks like without half-installed packages."""
    cache = tmp_path_factory.mktemp("cache")
    kept = cache / f".guestfs-{os.geteuid()}"
    kept.mkdir(mode=0o755)
    (parts,) = Path("/usr").glob("lib*/**/guestfs/supermin.d")
    argv = ["supermin", "--build", "--copy-kernel", "-f", "ext2", "--host-cpu", os.uname().machine]
    subprocess.run([*argv, str(parts), "-o", str(kept / "appliance.d")], check=True)
    for path in _BROKEN:
        subprocess.run(["debugfs", "-w", "-R", f"rm {path}", str(kept / "appliance.d/root")], check=True)
    for part in (kept / "appliance.d").iterdir():
        # supermin would build it again if the kernel were older than the package manager's database.
        part.touch()
    return kept


@pytest.fixture
def in_use(broken_appliance: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let libguestfs keep its appliance there."""
    monkeypatch.setenv("LIBGUESTFS_CACHEDIR", str(broken_appliance.parent))
    monkeypatch.setenv("LIBGUESTFS_BACKEND", "direct")
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", "force_tcg")
    monkeypatch.setenv("VIRT_V2V_TMPDIR", str(tmp_path))
    return broken_appliance


@pytest.fixture
def request_for(serve_blank: Callable[[int], DiskEndpoint], tmp_path: Path) -> Callable[[FakeReporter], ConvertRequest]:
    """Return a function that makes requests to convert a blank disk."""
    endpoint = serve_blank(1024 * 1024)

    def make(report: FakeReporter) -> ConvertRequest:
        return ConvertRequest(
            directory=tmp_path,
            temporary=tmp_path / "temporary",
            guest=Guest(name="g", disks=(SourceDisk(index=1),)),
            disks=(endpoint,),
            settings=ConvertSettings(emulation=True),
            report=report,
        )

    return make


def qemu_that_refuses(tmp_path: Path, complaint: str) -> Path:
    """Write a qemu that says what it is able to do, and dies when it is to run the appliance."""
    program = tmp_path / "qemu"
    real = shutil.which("qemu-system-x86_64")
    program.write_text(f'#!/bin/sh\ncase "$*" in *-kernel*) echo "{complaint}" >&2; exit 1;; esac\nexec {real} "$@"\n')
    program.chmod(0o755)
    return program


@pytest.mark.slow
def test_a_broken_appliance_is_replaced_for_this_run(
    in_use: Path, request_for: Callable[[FakeReporter], ConvertRequest]
) -> None:
    report = FakeReporter()
    request = request_for(report)
    with Appliance(request) as appliance:
        assert appliance.handle.list_devices() == ["/dev/sda"]
    (warning,) = report.warnings
    assert f"the appliance that libguestfs keeps in {in_use} does not start ({_UDEV})" in warning
    assert warning.endswith(f"rm -r {in_use}")
    # The console is in the log without -v.
    assert f"appliance: {_UDEV}" in report.debugs
    assert list(request.temporary.iterdir()) == []
    # The cache is left to its other users.
    assert (in_use / "appliance.d/root").exists()


@pytest.mark.slow
def test_the_error_quotes_the_console_if_no_appliance_starts(
    in_use: Path,
    request_for: Callable[[FakeReporter], ConvertRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIBGUESTFS_HV", str(qemu_that_refuses(tmp_path, "error: no floppy")))
    report = FakeReporter()
    request = request_for(report)
    with pytest.raises(ConversionError) as caught, Appliance(request):
        pass
    assert caught.value.message == "the appliance of libguestfs does not start: error: no floppy"
    assert report.debugs.count("appliance: error: no floppy") == 2
    assert report.warnings == []
    assert list(request.temporary.iterdir()) == []


@pytest.mark.slow
def test_no_other_appliance_is_built_where_qemu_refuses_a_disk(
    in_use: Path,
    request_for: Callable[[FakeReporter], ConvertRequest],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    complaint = "qemu: -device scsi-hd,drive=hd0: Failed to get write lock"
    monkeypatch.setenv("LIBGUESTFS_HV", str(qemu_that_refuses(tmp_path, complaint)))
    report = FakeReporter()
    with pytest.raises(ConversionError, match="Failed to get write lock"), Appliance(request_for(report)):
        pass
    assert report.debugs.count(f"appliance: {complaint}") == 1


@pytest.mark.slow
def test_the_doctor_names_a_broken_appliance(in_use: Path, tmp_path: Path) -> None:
    finding = probe_appliance_boots(emulation=True)
    assert finding.status is Status.OPTIONAL
    assert f"the one that libguestfs keeps in {in_use} does not ({_UDEV}); another one does" in finding.detail
    assert finding.remedy == f"rm -r {in_use}"
    assert not list(tmp_path.glob("v2v-doctor-*"))


def test_a_ready_made_appliance_is_found(tmp_path: Path) -> None:
    (tmp_path / "README.fixed").touch()
    assert ready_made_appliance(f"/nonexistent:{tmp_path}") == str(tmp_path)
    assert ready_made_appliance(":/nonexistent") is None
