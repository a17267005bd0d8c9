# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -it export`` with the simulator: several disks, snapshots, versions, the end of lease and session."""

from __future__ import annotations

import hashlib
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from export_stream import made_by_qemu
from v2v_core.api import (
    InputVersionsRequest,
    OptionValues,
    QemuImage,
    UsageError,
)
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_export import CONTENTS, add_exported, content, exported, leases, power_on
from vcenter_input import refused, setup
from vcenter_simulator import Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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


def test_two_disks_at_once(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    vcenter.control("export?rate=2000000&prepare=200")
    temporary = tmp_path / "large"
    temporary.mkdir()
    contents, report = exported(vcenter, tmp_path, temporary=temporary)
    assert contents == list(CONTENTS)
    assert {path.name for path in temporary.glob("*.raw")} == {"disk1.raw", "disk2.raw"}
    assert all(path.stat().st_blocks * 512 < 1_500_000 for path in temporary.glob("*.raw")), "zeros are stored"
    _, state, _, _, most = leases(vcenter)[-1]
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
    assert exported(vcenter, tmp_path, options=options)[0] == list(CONTENTS)
    assert leases(vcenter)[-1][1] == "done"
    assert leases(vcenter)[-1][4] == "1"


def test_streams_of_qemu(vcenter: Vcenter, tmp_path: Path) -> None:
    add_exported(vcenter, tmp_path, "of qemu")
    for number in (0, 1):
        made_by_qemu(tmp_path / f"image{number}", vcenter.stream_of("of qemu", number))
    assert exported(vcenter, tmp_path, "of qemu")[0] == list(CONTENTS)


def test_a_lease_is_kept_alive(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    """The download takes three times as long as a lease lives without a sign of life."""
    vcenter.control("export?timeout=1&rate=150000")
    assert exported(vcenter, tmp_path)[0] == list(CONTENTS)
    assert leases(vcenter)[-1][1] == "done"
    assert int(leases(vcenter)[-1][2]) >= 6


@pytest.mark.parametrize("how", ["thumbprint", "no_verify"])
def test_a_certificate_that_is_trusted_otherwise(vcenter: Vcenter, guest: str, tmp_path: Path, how: str) -> None:
    der = ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text())
    more: dict[str, Any] = {"options": {"thumbprint": hashlib.sha256(der).hexdigest()}}
    if how == "no_verify":
        more = {"options": {}, "connection": f"{vcenter.uri}?no_verify=1"}
        vcenter.control("export?sender=127.0.0.1")
    assert exported(vcenter, tmp_path, **more)[0] == list(CONTENTS)


def test_the_session_is_logged_out(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    before = vcenter.control("sessions")
    exported(vcenter, tmp_path)
    assert vcenter.control("sessions") == before
    vcenter.control("export?cut=1")
    refused(vcenter, tmp_path, "exported", transport="export")
    assert vcenter.control("sessions") == before


def test_a_running_guest_needs_a_snapshot(vcenter: Vcenter, tmp_path: Path) -> None:
    add_exported(vcenter, tmp_path, "running")
    first, _, _ = power_on(vcenter, "running", snapshots=("before", "twice", "twice"))
    before = len(leases(vcenter))
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
    assert len(leases(vcenter)) == before
    for wanted in ("before", first, f"moref={first}"):
        options = {**trusted, "export-snapshot": wanted}
        assert exported(vcenter, tmp_path, "running", options=options)[0] == list(CONTENTS)
    assert leases(vcenter)[-1][1] == "done"


def test_an_unusual_order_of_disks(vcenter: Vcenter, tmp_path: Path) -> None:
    """Disks are told apart by controller and unit, not by their order in the lease."""
    from pyVmomi import vim

    devices = [vim.vm.device.VirtualAHCIController(key=15000, busNumber=0)]
    contents = (content(5), content(6), content(7)[: 1024 * 1024])
    places = [(15000, 3), (1000, 2), (1000, 0)]
    add_exported(vcenter, tmp_path, "mixed", contents, devices=devices, places=places)
    assert exported(vcenter, tmp_path, "mixed")[0] == [contents[2], contents[1], contents[0]]


def test_only_the_metadata(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    before = len(leases(vcenter))
    result, _ = setup(vcenter, tmp_path, "exported", transport="export", metadata_only=True)
    sizes = [disk.path.stat().st_size for disk in result.disks if isinstance(disk, QemuImage)]
    assert sizes == [len(content) for content in CONTENTS]
    program = Path(sys.executable).with_name("virt-v2v")
    argv = [program, "-i", "vcenter", *vcenter.options, "-it", "export", "exported", "--print-source"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "source name: exported" in done.stdout
    assert len(leases(vcenter)) == before


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
    moref = add_exported(vcenter, tmp_path, f"versions {transport}")
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
