# SPDX-License-Identifier: GPL-2.0-or-later
"""An ESXi host without a vCenter: its inventory has one datacenter, with a default name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from export_stream import as_sent
from v2v_core.api import NbdkitPlugin, QemuImage
from v2v_core.testing import InputExample, InputPluginContract
from v2v_input_vmware.vcenter.plugin import VcenterInput
from vcenter_input import refused, setup
from vcenter_simulator import ROOT, Vcenter, running_vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"ESXi" * 262144


@pytest.fixture(scope="module")
def guest(esxi: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine and return its moref."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    return esxi.add_vm("on a host", [image], guestId="rhel8_64Guest")


class TestContract(InputPluginContract):
    plugin_class = VcenterInput
    in_place = False

    @pytest.fixture
    def example(self, esxi: Vcenter, guest: str) -> InputExample:
        return InputExample(
            arguments=("on a host",),
            connection=esxi.uri_for(ROOT),
            password_file=esxi.password_file,
            options=(("ca-file", str(esxi.certificate)),),
            contents=(CONTENT,),
            files=tuple((esxi.datastore / "on a host").iterdir()),
        )


@pytest.mark.parametrize("name", ["on a host", "/ha-datacenter/vm/on a host", "moref"])
def test_it_is_found(esxi: Vcenter, guest: str, tmp_path: Path, name: str) -> None:
    result, report = setup(esxi, tmp_path, guest if name == "moref" else name)
    assert (result.guest.name, result.guest.os) == ("on a host", "rhel8_64Guest")
    (disk,) = result.disks
    assert isinstance(disk, NbdkitPlugin)
    assert ("url", f"https://localhost:{esxi.port}/folder/on%20a%20host/on%20a%20host-flat.vmdk"
                   "?dcPath=ha-datacenter&dsName=LocalDS_0") in disk.parameters  # fmt: skip
    assert report.warnings == []


def test_one_that_is_not_there(esxi: Vcenter, tmp_path: Path) -> None:
    assert "there is no virtual machine nobody" in refused(esxi, tmp_path, "nobody")[0]


def test_a_certificate_for_another_name(tmp_path: Path, image: Path) -> None:
    """ESXi hosts have such certificates. Pinning is not enough because libcurl compares names."""
    with running_vcenter(tmp_path / "server", esx=True, name="localhost.localdomain") as host:
        host.add_vm("g", [image])
        message, hint = refused(host, tmp_path, "g")
        assert "not trusted" in message
        thumbprint = hint.rpartition("thumbprint=")[2]
        message, hint = refused(host, tmp_path, "g", options={"thumbprint": thumbprint})
        assert "is for another name" in message
        assert "/etc/hosts" in hint
        no_verify = f"{host.uri}?no_verify=1"
        assert setup(host, tmp_path, "g", options={}, connection=no_verify)[0].disks


@pytest.mark.parametrize(("scheme", "mode"), [("https", "vcenter"), ("esx", "libvirt")])
def test_the_documented_command_lines(esxi: Vcenter, guest: str, scheme: str, mode: str) -> None:
    program = Path(sys.executable).with_name("virt-v2v")
    uri = esxi.uri_for(ROOT, scheme)
    argv = [program, "-i", mode, "-ic", uri, "-ip", esxi.password_file, "-io", f"ca-file={esxi.certificate}"]
    done = subprocess.run([*argv, "on a host", "--print-source"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = done.stdout[done.stdout.index("Source guest information") :]
    assert re.search(r"^    source name: on a host$", text, re.MULTILINE)
    assert text.endswith('NICs:\n\tBridge "VM Network" mac: 00:50:56:01:02:03 [vmxnet3]\n\n')


def test_an_export(esxi: Vcenter, image: Path, tmp_path: Path) -> None:
    """A host calls itself * in the URLs of a lease."""
    esxi.add_vm("exported", [image])
    esxi.stream_of("exported", 0).write_bytes(as_sent(image.read_bytes()))
    esxi.control("export?sender=*")
    before = esxi.control("sessions")
    result, report = setup(esxi, tmp_path, "exported", transport="export")
    (disk,) = result.disks
    assert isinstance(disk, QemuImage)
    assert disk.path.read_bytes() == image.read_bytes()
    assert report.warnings == []
    assert esxi.control("leases").split(" ")[1] == "done"
    assert esxi.control("sessions") == before
