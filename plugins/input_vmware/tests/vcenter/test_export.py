# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -it export`` with the simulator's exports: several disks, faults on the way, the end of the lease."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from export_stream import as_sent, made_by_qemu
from v2v_core.api import QemuImage
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract
from v2v_input_vmware.vcenter import download, lease
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_input import refused, setup
from vcenter_simulator import Vcenter

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
    assert any("no manifest" in line for line in report.infos)


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
