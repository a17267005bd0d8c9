# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vmx -it ssh`` with a real sshd: the contract, and the messages for faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core.api import InputSetupRequest, OptionValues, SourceError, UsageError
from v2v_core.testing import FakeReporter, InputExample, InputPluginContract, Sshd, running_sshd
from v2v_input_vmware.vmx import ssh
from v2v_input_vmware.vmx.plugin import VmxInput

CONTENT = b"flat" * 4096


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Sshd]:
    """Run an ssh server."""
    with running_sshd(tmp_path / "sshd") as server:
        yield server


@pytest.fixture
def vmx(tmp_path: Path) -> Path:
    """Create a guest as on a datastore: VMX file, descriptor and flat extent."""
    directory = tmp_path / "datastore1" / "my guest"
    directory.mkdir(parents=True)
    (directory / "disk.vmdk").write_text("# Disk DescriptorFile\n")
    (directory / "disk-flat.vmdk").write_bytes(CONTENT)
    path = directory / "guest.vmx"
    path.write_text('displayName = "over ssh"\nscsi0:0.fileName = "disk.vmdk"\n')
    return path


class TestContract(InputPluginContract):
    plugin_class = VmxInput
    in_place = False

    @pytest.fixture
    def example(self, vmx: Path, sshd: Sshd) -> InputExample:
        return InputExample(
            arguments=(sshd.uri(str(vmx).replace(" ", "%20")),),
            transport="ssh",
            options=(("ssh-identity", str(sshd.identity)), ("ssh-known-hosts", str(sshd.known_hosts))),
            contents=(CONTENT,),
            files=(vmx, vmx.parent / "disk-flat.vmdk"),
        )


def setup(uri: str, tmp_path: Path, sshd: Sshd, **more: object) -> None:
    values = {"ssh-identity": (str(sshd.identity),), "ssh-known-hosts": (str(sshd.known_hosts),)}
    request = InputSetupRequest(
        directory=tmp_path,
        arguments=(uri,),
        transport="ssh",
        options=OptionValues(values=values),
        report=FakeReporter(),
        **more,  # type: ignore[arg-type]
    )
    VmxInput().v2v_input_setup(request)


def test_a_missing_file(vmx: Path, tmp_path: Path, sshd: Sshd) -> None:
    with pytest.raises(SourceError, match=r"gone\.vmx on localhost cannot be read over ssh") as caught:
        setup(sshd.uri("/gone.vmx"), tmp_path, sshd)
    assert "check the path" in str(caught.value.hint)


def test_a_snapshot_has_no_flat_file(vmx: Path, tmp_path: Path, sshd: Sshd) -> None:
    vmx.write_text('displayName = "s"\nscsi0:0.fileName = "disk-000001.vmdk"\n')
    with pytest.raises(SourceError, match="the disk scsi0:0") as caught:
        setup(sshd.uri(str(vmx).replace(" ", "%20")), tmp_path, sshd)
    assert "snapshots" in str(caught.value.hint)


def test_an_unknown_host(vmx: Path, tmp_path: Path, sshd: Sshd) -> None:
    sshd.known_hosts.write_text("")
    with pytest.raises(SourceError) as caught:
        setup(sshd.uri("/x.vmx"), tmp_path, sshd)
    assert "known-hosts" in str(caught.value.hint), caught.value.message


def test_a_wrong_password_is_not_shown(vmx: Path, tmp_path: Path, sshd: Sshd) -> None:
    password = tmp_path / "password"
    password.write_text("wrong-secret\nsecond line\n")
    sshd.identity.write_text("no key\n")
    with pytest.raises(SourceError) as caught:
        setup(sshd.uri("/x.vmx"), tmp_path, sshd, password_file=password)
    shown = f"{caught.value.message} {caught.value.hint} {caught.value.__cause__!r} {caught.value.__cause__}"
    assert "wrong-secret" not in shown
    assert "password" in str(caught.value.hint), caught.value.message
    assert not (tmp_path / "fetched").exists()


def test_no_server_listens(tmp_path: Path, sshd: Sshd) -> None:
    with pytest.raises(SourceError) as caught:
        setup("ssh://root@localhost:1/x.vmx", tmp_path, sshd)
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    "uri", ["http://h/x", "ssh:///x", "ssh://h", "ssh://h/", "x.vmx", "ssh://h:port/x", "ssh://u:p@h/x"]
)
def test_uris_that_are_none(uri: str) -> None:
    with pytest.raises(UsageError) as caught:
        ssh.Server.of(uri, password_file=None)
    assert caught.value.hint
    assert ":p@" not in caught.value.message


def test_paths() -> None:
    server = ssh.Server.of("ssh://root@esxi/vmfs/volumes/my%20store/g/g.vmx", password_file=None)
    assert (server.host, server.user, server.path) == ("esxi", "root", "/vmfs/volumes/my store/g/g.vmx")
    assert ssh.flat_path(server.path, "g.vmdk") == "/vmfs/volumes/my store/g/g-flat.vmdk"
    assert ssh.flat_path(server.path, "/vmfs/volumes/b/g_1.vmdk") == "/vmfs/volumes/b/g_1-flat.vmdk"
