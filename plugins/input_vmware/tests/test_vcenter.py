# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter`` against govmomi's simulator: the whole contract, finding machines, and one line for each error."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from v2v_core.api import (
    Bus,
    Cpu,
    Firmware,
    InputResult,
    InputSetupRequest,
    NbdkitPlugin,
    OptionValues,
    SourceError,
    Topology,
    UsageError,
)
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract
from v2v_input_vmware.vcenter.address import parse_address
from v2v_input_vmware.vcenter.datastore import folder_path
from v2v_input_vmware.vcenter.machine import VmDisk
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter import PASSWORD, Vcenter, running_vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"datastore" * 65536 + b"\0" * 448 * 1024
CONTENT = CONTENT[: len(CONTENT) // 1024 * 1024]


@pytest.fixture(scope="module")
def vcenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    """Run a vCenter for all tests; each adds its own machines."""
    directory = tmp_path_factory.mktemp("vcenter")
    with running_vcenter(directory / "server") as server:
        yield server


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the moref of a machine with two disks."""
    from pyVmomi import vim

    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    return vcenter.add_vm(
        "my guest",
        [image, image],
        memoryMB=512,
        numCPUs=4,
        numCoresPerSocket=2,
        firmware="efi",
        bootOptions=vim.vm.BootOptions(efiSecureBootEnabled=True),
        extraConfig=[
            vim.option.OptionValue(key="vm.genid", value="81985529216486895"),
            vim.option.OptionValue(key="vm.genidX", value="1234605616436508552"),
        ],
    )


def setup(
    vcenter: Vcenter, tmp_path: Path, name: str, *, options: dict[str, str] | None = None, **more: Any
) -> tuple[InputResult, FakeReporter]:
    report = FakeReporter()
    values = {"ca-file": str(vcenter.certificate)} if options is None else options
    request = InputSetupRequest(
        directory=tmp_path,
        arguments=(name,),
        report=report,
        options=OptionValues(values={key: (value,) for key, value in values.items()}),
        **{"connection": vcenter.uri, "password_file": vcenter.password_file, **more},
    )
    return VcenterInput().v2v_input_setup(request), report


class TestContract(InputPluginContract):
    plugin_class = VcenterInput
    in_place = False

    @pytest.fixture
    def example(self, vcenter: Vcenter, guest: str) -> InputExample:
        return InputExample(
            arguments=("my guest",),
            connection=vcenter.uri,
            password_file=vcenter.password_file,
            options=(("ca-file", str(vcenter.certificate)),),
            contents=(CONTENT, CONTENT),
            files=tuple((vcenter.datastore / "my guest").iterdir()),
        )


def test_metadata(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    found, report = setup(vcenter, tmp_path, "my guest")
    assert found.guest.name == "my guest"
    assert found.guest.hypervisor == "vmware"
    assert found.guest.memory == 512 * 1024 * 1024
    assert found.guest.cpu == Cpu(count=4, topology=Topology(sockets=2, cores=2, threads=1))
    assert found.guest.firmware is Firmware.UEFI
    assert found.guest.secure_boot
    assert found.guest.genid == "89abcdef-4567-0123-8877-665544332211"
    assert [(disk.bus, disk.size) for disk in found.guest.disks] == [(Bus.SCSI, len(CONTENT))] * 2
    (nic,) = found.guest.nics
    assert (nic.network, nic.kind, nic.mac, nic.model) == ("VM Network", "bridge", "00:50:56:01:02:03", "vmxnet3")
    assert report.warnings == []


@pytest.mark.parametrize("how", ["path", "moref", "uuid"])
def test_other_ways_to_name_it(vcenter: Vcenter, guest: str, tmp_path: Path, how: str) -> None:
    with vcenter.service() as service:
        content = service.RetrieveContent()
        vm = content.searchIndex.FindByInventoryPath("DC0/vm/my guest")
        uuid = vm.config.uuid
    name = {"path": "/DC0/vm/my guest", "moref": guest, "uuid": uuid}[how]
    assert setup(vcenter, tmp_path, name)[0].guest.name == "my guest"


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


def refused(*arguments: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(SourceError) as caught:
        setup(*arguments, **more)
    assert "\n" not in caught.value.message
    assert PASSWORD not in f"{caught.value.message} {caught.value.hint} {caught.value.__cause__!r}"
    return caught.value.message, caught.value.hint or ""


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
    (disk, _) = setup(vcenter, tmp_path, "my guest", options={}, connection=no_verify)[0].disks
    assert isinstance(disk, NbdkitPlugin)
    assert ("sslverify", "false") in disk.parameters


def test_unreachable(vcenter: Vcenter, tmp_path: Path) -> None:
    for uri in ("https://root@localhost:1/", "https://root@no-such-host.invalid/"):
        message, hint = refused(vcenter, tmp_path, "x", connection=uri)
        assert "cannot be reached" in message
        assert hint


def test_what_is_no_vcenter(vcenter: Vcenter, tmp_path: Path) -> None:
    import http.server

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


def serve(result: InputResult, tmp_path: Path) -> subprocess.Popen[bytes]:
    """Run the server of the first disk as core does."""
    from v2v_core.serving.nbdkit import nbdkit_argv

    disk = result.disks[0]
    assert isinstance(disk, NbdkitPlugin)
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700, exist_ok=True)
    argv = nbdkit_argv(disk, tmp_path / "socket", readonly=True, secrets=secrets)
    assert not any(PASSWORD in word for word in argv)
    server = subprocess.Popen(argv, env={**os.environ, **dict(disk.environment)})
    deadline = time.monotonic() + 60
    while not (tmp_path / "socket").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return server


def test_a_session_that_expires_in_the_middle_of_a_copy(vcenter: Vcenter, tmp_path: Path) -> None:
    import nbd

    image = tmp_path / "image"
    image.write_bytes(os.urandom(4 * 1024 * 1024))
    vcenter.add_vm("long copy", [image])
    result, _ = setup(vcenter, tmp_path, "long copy")
    server = serve(result, tmp_path)
    try:
        handle = nbd.NBD()
        handle.connect_unix(str(tmp_path / "socket"))
        half = handle.get_size() // 2
        first = handle.pread(half, 0)
        before = int(vcenter.control("count"))
        vcenter.control("expire")
        second = handle.pread(half, half)
        assert bytes(first + second) == image.read_bytes()
        assert int(vcenter.control("count")) == before + 1
        handle.shutdown()
    finally:
        server.terminate()
        server.wait(20)


def test_the_password_is_nowhere_but_in_files_of_this_user(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    result, report = setup(vcenter, tmp_path, "my guest")
    assert PASSWORD not in repr(result)
    assert PASSWORD not in report.said
    holding = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD in path.read_text(errors="replace")]
    assert [path.name for path in holding] == ["password"]
    assert holding[0].stat().st_mode & 0o777 == 0o600


@pytest.fixture
def vddk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in for nbdkit's vddk plugin on PATH."""
    here = Path(sys.modules["vcenter"].__file__ or "").parent / "vddk_stand_in"
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    directory = tmp_path / "vddk"
    directory.mkdir()
    (directory / "disk").write_bytes(CONTENT)
    monkeypatch.setenv("V2V_VDDK_STAND_IN", str(directory))
    return directory


def test_vddk(vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path) -> None:
    import nbd

    (tmp_path / "lib").mkdir()
    options = {"ca-file": str(vcenter.certificate), "vddk-libdir": str(tmp_path / "lib"), "vddk-transports": "nbdssl"}
    options |= {"vddk-compression": "fastlz", "vddk-config": "c", "vddk-nfchostport": "902", "vddk-port": "443"}
    result, _ = setup(vcenter, tmp_path, "my guest", options=options, transport="vddk")
    assert len(result.disks) == 2
    server = serve(result, tmp_path)
    try:
        handle = nbd.NBD()
        handle.connect_unix(str(tmp_path / "socket"))
        assert bytes(handle.pread(4096, 0)) == CONTENT[:4096]
        handle.shutdown()
    finally:
        server.terminate()
        server.wait(20)
    given = json.loads((vddk / "parameters").read_text().splitlines()[-1])
    der = ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text())
    thumbprint = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    assert given == {
        "server": "localhost",
        "vm": f"moref={guest}",
        "user": "administrator@vsphere.local",
        "password": f"+{PASSWORD} (600)",
        "thumbprint": ":".join(thumbprint[at : at + 2] for at in range(0, 40, 2)),
        "file": "[LocalDS_0] my guest/my guest.vmdk",
        "libdir": str(tmp_path / "lib"),
        "transports": "nbdssl",
        "compression": "fastlz",
        "config": "c",
        "nfchostport": "902",
        "port": "443",
    }


def test_vddk_is_missing(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    message, hint = refused(vcenter, tmp_path, "my guest", transport="vddk")
    assert "plugin for VDDK" in message
    assert "nbdkit-vddk-plugin" in hint
    options = {"vddk-libdir": str(tmp_path / "gone")}
    assert "not a directory" in refused(vcenter, tmp_path, "my guest", transport="vddk", options=options)[0]


@pytest.mark.parametrize(
    "uri",
    [None, "https://host/", "http://root@host/", "https://root:secret@host/", "qemu:///system", "https://root@host:x/"],
)
def test_addresses_that_are_none(uri: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        parse_address(uri)
    assert "secret" not in caught.value.message


def test_addresses() -> None:
    address = parse_address("vpx://EXAMPLE%5cadmin@vc.example.com:8443/Folder/DC%201/cluster/esxi?no_verify=1")
    assert (address.user, address.host, address.port, address.no_verify) == (
        "EXAMPLE\\admin",
        "vc.example.com",
        8443,
        True,
    )
    assert address.datacenter == "Folder/DC 1/cluster/esxi"
    assert parse_address("esx://esxi.example.com/").user == "root"


def test_names_are_quoted_in_urls() -> None:
    disk = VmDisk(label="d", bus=None, file="", datastore="my store", path="a b/g#1.vmdk", size=1)
    assert folder_path(disk, "Folder/DC 1") == (
        "/folder/a%20b/g%231-flat.vmdk?dcPath=Folder%252FDC%25201&dsName=my%2520store"
    )
