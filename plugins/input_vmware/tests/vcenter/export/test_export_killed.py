# SPDX-License-Identifier: GPL-2.0-or-later
"""Exports whose process is killed: the cleanup ends the lease and the session."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_core.api import (
    AbortResult,
    InputAbortRequest,
    OptionValues,
    OwnedObject,
    SourceError,
)
from v2v_core.testing import FakeLedger, FakeReporter, files_with_secret
from v2v_input_vmware.vcenter import lease
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_export import leases
from vcenter_input import setup
from vcenter_simulator import PASSWORD, Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


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
        assert leases(vcenter)[-1][1] == "ready"
        holding = files_with_secret(run, PASSWORD)
        assert holding == []
        kept = run / "input/export.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        argv = [programs / "helper-v2v-cleanup", "--dir", run]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "left behind" not in done.stderr
        assert not run.exists()
        assert leases(vcenter)[-1][1] == "error"
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
        assert leases(vcenter)[-1][1] == "error"
        assert vcenter.control("sessions") == before
        argv = [Path(sys.executable).with_name("helper-v2v-cleanup"), "--dir", v2v_short_path / "run"]
        subprocess.run(argv, capture_output=True, check=True)

    def test_before_the_lease_was_known(self, vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
        """The answer of the server was lost with the process. The session is known, and the lease ends with it."""
        from pyVim.connect import SmartConnect

        context = ssl.create_default_context(cafile=vcenter.certificate)
        service = SmartConnect(host="localhost", port=vcenter.port, user=vcenter.user, pwd=PASSWORD, sslContext=context)
        service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/exported").ExportVm()
        cookie = service._stub.cookie.partition(";")[0]
        service._stub.DropConnections()
        (tmp_path / "export.json").write_text(json.dumps({"cookie": cookie, "lease": None}))
        before = int(vcenter.control("sessions"))
        assert self._abort(vcenter, tmp_path) == AbortResult()
        assert leases(vcenter)[-1][1] == "error"
        assert int(vcenter.control("sessions")) == before - 1

    def test_the_ledger_is_written_first(self, vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
        seen = []

        def look(thing: OwnedObject) -> None:
            kept = json.loads((tmp_path / "export.json").read_text())
            seen.append((thing, len(leases(vcenter)), kept["lease"]))

        before = len(leases(vcenter))
        setup(vcenter, tmp_path, "exported", transport="export", ledger=FakeLedger(on_record=look))
        assert seen == [(OwnedObject(kind="export lease", identity=f"{guest} (exported)"), before, None)]
        assert len(leases(vcenter)) == before + 1

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
