# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of a vCenter and its machines: each gives one line with the cause, and a remedy."""

from __future__ import annotations

import hashlib
import http.server
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import NbdkitPlugin, SourceError, UsageError
from v2v_input_vmware.vcenter import session
from v2v_input_vmware.vcenter.machine import Machine, guest_of
from vcenter_input import refused, setup
from vcenter_simulator import STRANGER, Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"content." * 65536


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine without faults and return its moref."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    return vcenter.add_vm("my guest", [image])


def test_two_of_one_name(vcenter: Vcenter, tmp_path: Path) -> None:
    from pyVim.task import WaitForTask

    image = tmp_path / "image"
    image.write_bytes(CONTENT)
    first = vcenter.add_vm("twin", [image])
    with vcenter.service() as service:
        folder = service.RetrieveContent().rootFolder.childEntity[0].vmFolder.CreateFolder("other")
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/twin")
        WaitForTask(folder.MoveIntoFolder_Task([vm]), si=service)
    (vcenter.datastore / "twin").rename(vcenter.datastore / "moved")
    second = vcenter.add_vm("twin", [image])
    with pytest.raises(SourceError) as caught:
        setup(vcenter, tmp_path, "twin")
    assert f"/DC0/vm/other/twin ({first})" in caught.value.message
    assert f"/DC0/vm/twin ({second})" in caught.value.message
    assert setup(vcenter, tmp_path, "/DC0/vm/twin")[0].guest.name == "twin"


def test_not_found(vcenter: Vcenter, tmp_path: Path) -> None:
    for name in ("nobody", "/DC0/vm/nobody", "vm-99999", "00000000-0000-0000-0000-000000000000"):
        message, hint = refused(vcenter, tmp_path, name)
        assert name in message
        assert "path" in hint


def test_wrong_password(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the password")
    message, hint = refused(vcenter, tmp_path, "my guest", password_file=wrong)
    assert "wrong user or password" in message
    assert "-ip" in hint


def test_certificate_not_trusted(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    message, hint = refused(vcenter, tmp_path, "my guest", options={})
    assert "not trusted" in message
    thumbprint = hint.rpartition("thumbprint=")[2]
    assert setup(vcenter, tmp_path, "my guest", options={"thumbprint": thumbprint})[0].disks
    der = ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text())
    assert setup(vcenter, tmp_path, "my guest", options={"thumbprint": hashlib.sha256(der).hexdigest()})[0].disks
    message, _ = refused(vcenter, tmp_path, "my guest", options={"thumbprint": "00:" * 19 + "00"})
    assert "has the thumbprint" in message
    no_verify = vcenter.uri + "?no_verify=1"
    (disk,) = setup(vcenter, tmp_path, "my guest", options={}, connection=no_verify)[0].disks
    assert isinstance(disk, NbdkitPlugin)
    assert ("sslverify", "false") in disk.parameters


@pytest.mark.parametrize("content", [None, "no certificate\n"])
def test_a_file_of_authorities_that_is_none(vcenter: Vcenter, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    message, hint = refused(vcenter, tmp_path, "my guest", options={"ca-file": str(path)})
    assert f"{path} is not a usable file of certificates" in message
    assert "PEM" in hint


@pytest.mark.parametrize("thumbprint", ["", "zz", "00:11", "g" * 40])
def test_a_thumbprint_that_is_none(vcenter: Vcenter, tmp_path: Path, thumbprint: str) -> None:
    with pytest.raises(UsageError, match="is not a thumbprint"):
        setup(vcenter, tmp_path, "my guest", options={"thumbprint": thumbprint})


def test_a_machine_that_is_not_accessible() -> None:
    """The host cannot read its files, so that it has no configuration."""
    lost = Machine(moref="vm-1", name="lost", config=None, runtime=None, snapshot=None, networks={})
    with pytest.raises(SourceError, match="the configuration of lost cannot be read") as caught:
        guest_of(lost, print)
    assert "register inaccessible and orphaned machines again" in str(caught.value.hint)


def test_unreachable(vcenter: Vcenter, tmp_path: Path) -> None:
    for uri in ("https://root@localhost:1/", "https://root@no-such-host.invalid/"):
        message, hint = refused(vcenter, tmp_path, "x", connection=uri)
        assert "cannot be reached" in message
        assert hint


def test_what_is_no_vcenter(vcenter: Vcenter, tmp_path: Path) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    message, _ = refused(vcenter, tmp_path, "x", connection=f"https://root@localhost:{server.server_port}/")
    assert "TLS" in message or "reached" in message
    server.server_close()


def test_powered_on(vcenter: Vcenter, tmp_path: Path) -> None:
    from pyVim.task import WaitForTask

    image = tmp_path / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("running", [image])
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/running")
        WaitForTask(vm.PowerOnVM_Task(), si=service)
    message, hint = refused(vcenter, tmp_path, "running")
    assert "running" in message
    assert "shut it down" in hint


def test_snapshots(vcenter: Vcenter, tmp_path: Path) -> None:
    from pyVim.task import WaitForTask

    image = tmp_path / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("with snapshots", [image])
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/with snapshots")
        WaitForTask(vm.CreateSnapshot_Task(name="s", memory=False, quiesce=False), si=service)
    message, hint = refused(vcenter, tmp_path, "with snapshots")
    assert "has snapshots" in message
    assert "delete all snapshots" in hint


def test_a_missing_file(vcenter: Vcenter, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("without file", [image])
    (vcenter.datastore / "without file/without file-flat.vmdk").unlink()
    message, hint = refused(vcenter, tmp_path, "without file")
    assert "404" in message
    assert "-it vddk" in hint


def test_a_missing_file_of_a_snapshot(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    """The inventory has no snapshot, but the disk has the name of one. If the file exists, it is a disk of a clone."""
    vcenter.add_vm("web-000002", [image])
    assert setup(vcenter, tmp_path, "web-000002")[0].disks
    (vcenter.datastore / "web-000002/web-000002-flat.vmdk").unlink()
    message, hint = refused(vcenter, tmp_path, "web-000002")
    assert "404" in message
    assert "Consolidate" in hint


def test_a_template_is_a_machine(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    vcenter.add_vm("template", [image])
    with vcenter.service() as service:
        service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/template").MarkAsTemplate()
    assert setup(vcenter, tmp_path, "template")[0].disks


@pytest.fixture
def odd_server(vcenter: Vcenter) -> Iterator[tuple[str, list[Any]]]:
    """Run an https server with the certificate of the vCenter; yield its URI and its answer: [status, text]."""
    answer: list[Any] = [503, "starting"]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answer[0])
            self.end_headers()
            self.wfile.write(answer[1].encode())

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(vcenter.certificate, vcenter.certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://root@localhost:{server.server_port}/", answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "text"),
    [(503, "starting"), (404, "<html>nothing here</html>"), (200, "<html><p>a web server"), (200, "<a/>"), (200, "")],
)
def test_what_is_another_server(
    vcenter: Vcenter, tmp_path: Path, odd_server: tuple[str, list[Any]], status: int, text: str
) -> None:
    uri, answer = odd_server
    answer[:] = [status, text]
    message, hint = refused(vcenter, tmp_path, "x", connection=uri)
    assert "does not answer like a vCenter or an ESXi host" in message
    assert "-ic" in hint


def test_no_answer_at_all(vcenter: Vcenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setattr(session, "TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"https://root@localhost:{silent.getsockname()[1]}/"
        message, hint = refused(vcenter, tmp_path, "x", connection=uri)
    assert "cannot be reached: no answer in time" in message
    assert "firewall" in hint


def test_a_user_without_any_role(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    message, hint = refused(vcenter, tmp_path, "my guest", connection=vcenter.uri_for(STRANGER))
    assert f"{STRANGER} lacks the privilege System.View on group-d1 of localhost" in message
    assert "role" in hint


def test_a_user_who_may_not_read_the_machine(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    moref = vcenter.add_vm("locked away", [image])
    vcenter.control(f"forbid?vm={moref}")
    message, hint = refused(vcenter, tmp_path, "locked away")
    assert f"lacks the privilege System.Read on {moref} of localhost" in message
    assert "virtual machine" in hint


@pytest.mark.parametrize("status", [401, 403])
def test_a_user_who_may_not_read_the_datastore(vcenter: Vcenter, guest: str, tmp_path: Path, status: int) -> None:
    vcenter.control(f"folder?status={status}")
    try:
        message, hint = refused(vcenter, tmp_path, "my guest")
    finally:
        vcenter.control("folder?status=0")
    assert f"([LocalDS_0] my guest/my guest.vmdk) cannot be read from localhost: HTTP status {status}" in message
    assert "Datastore.Browse" in hint


def test_consolidation_needed(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    vcenter.control(f"consolidate?vm={vcenter.add_vm('in pieces', [image])}")
    message, hint = refused(vcenter, tmp_path, "in pieces")
    assert "need consolidation" in message
    assert "Consolidate" in hint


def test_suspended(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    from pyVim.task import WaitForTask

    vcenter.add_vm("asleep", [image])
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/asleep")
        WaitForTask(vm.PowerOnVM_Task(), si=service)
        WaitForTask(vm.SuspendVM_Task(), si=service)
    message, hint = refused(vcenter, tmp_path, "asleep")
    assert "suspended" in message
    assert "resume it" in hint


def _backing(kind: str, path: str) -> Any:
    from pyVmomi import vim

    disk = vim.vm.device.VirtualDisk
    backing = disk.FlatVer2BackingInfo(fileName=path, diskMode="persistent")
    if kind == "shared":
        backing.sharing = "sharingMultiWriter"
    elif kind == "clone":
        backing.parent = disk.FlatVer2BackingInfo(fileName="[LocalDS_0] base/base.vmdk", diskMode="persistent")
    elif kind == "encrypted":
        backing.keyId = vim.encryption.CryptoKeyId(keyId="1")
    return backing


@pytest.mark.parametrize(
    ("kind", "why", "remedy"),
    [
        ("shared", "is shared with other machines", "end the sharing"),
        ("clone", "is based on another disk", "clone the machine in full"),
        ("encrypted", "is encrypted", "decrypt it"),
        ("physicalMode", "is a raw device mapping (physicalMode)", "copy the LUN"),
        ("virtualMode", "is a raw device mapping (virtualMode)", "or use -it vddk"),
    ],
)
def test_disks_that_cannot_be_read(
    vcenter: Vcenter, tmp_path: Path, image: Path, kind: str, why: str, remedy: str
) -> None:
    moref = vcenter.add_vm(f"with {kind}", [image], backing=lambda path: _backing(kind, path))
    if kind.endswith("Mode"):
        vcenter.control(f"map?vm={moref}&mode={kind}")
    message, hint = refused(vcenter, tmp_path, f"with {kind}")
    assert f"[LocalDS_0] with {kind}/with {kind}.vmdk) {why}" in message
    assert remedy in hint


def test_a_controller_that_is_shared(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    from pyVmomi import vim

    shared = vim.vm.device.ParaVirtualSCSIController(key=1001, busNumber=1, sharedBus="physicalSharing")
    vcenter.add_vm("of a cluster", [image], devices=[shared], places=[(1001, 0)])
    assert "is shared with other machines" in refused(vcenter, tmp_path, "of a cluster")[0]


def test_all_reasons_are_told_together(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    from pyVim.task import WaitForTask

    vcenter.add_vm("unlucky", [image], backing=lambda path: _backing("shared", path))
    with vcenter.service() as service:
        vm = service.RetrieveContent().searchIndex.FindByInventoryPath("DC0/vm/unlucky")
        WaitForTask(vm.CreateSnapshot_Task(name="s", memory=False, quiesce=False), si=service)
        WaitForTask(vm.PowerOnVM_Task(), si=service)
    message, _ = refused(vcenter, tmp_path, "unlucky")
    assert "it is running; it has snapshots; " in message
    assert "is shared with other machines" in message


def test_independent_disks_are_read_when_the_machine_is_off(vcenter: Vcenter, tmp_path: Path, image: Path) -> None:
    from pyVmomi import vim

    flat = vim.vm.device.VirtualDisk.FlatVer2BackingInfo
    vcenter.add_vm("independent", [image], backing=lambda path: flat(fileName=path, diskMode="independent_persistent"))
    result, report = setup(vcenter, tmp_path, "independent")
    assert len(result.disks) == 1
    assert report.warnings == []
