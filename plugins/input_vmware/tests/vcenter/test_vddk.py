# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter -it vddk``. VMware's library is not free, so a stand-in for nbdkit's plugin records its parameters."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from v2v_core.api import NbdkitPlugin, OptionValues, UsageError
from v2v_input_vmware.vcenter.plugin import VcenterInput
from v2v_input_vmware.vcenter.settings import OPTIONS as DECLARED
from vcenter_input import refused, served, setup
from vcenter_simulator import PASSWORD, Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"vddk" * 262144
COOKIE = "a cookie that must stay secret"


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine with two disks and return its moref."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    return vcenter.add_vm("my guest", [image, image])


def thumbprint_of(vcenter: Vcenter) -> str:
    der = ssl.PEM_cert_to_DER_cert(vcenter.certificate.read_text())
    digest = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, 40, 2))


@pytest.fixture
def vddk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the stand-in for nbdkit's vddk plugin on PATH."""
    here = Path(__file__).parents[1] / "vddk_stand_in"
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    directory = tmp_path / "vddk"
    directory.mkdir()
    (directory / "disk").write_bytes(CONTENT)
    monkeypatch.setenv("V2V_VDDK_STAND_IN", str(directory))
    return directory


def told(vddk: Path) -> dict[str, str]:
    """Return the parameters that the plugin got last."""
    found: dict[str, str] = json.loads((vddk / "parameters").read_text().splitlines()[-1])
    return found


#: Every option of -io, and the parameter that the plugin gets.
OPTIONS = {
    "compression": "fastlz",
    "config": "/etc/vddk.conf",
    "cookie": COOKIE,
    "nfchostport": "902",
    "port": "4443",
    "snapshot": "snapshot-12",
    "transports": "file:san:hotadd:nbdssl:nbd",
}


def test_what_the_plugin_is_told(vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path) -> None:
    import nbd

    (tmp_path / "lib").mkdir()
    options = {f"vddk-{name}": value for name, value in OPTIONS.items()}
    options |= {"ca-file": str(vcenter.certificate), "vddk-libdir": str(tmp_path / "lib")}
    result, report = setup(vcenter, tmp_path, "my guest", options=options, transport="vddk")
    assert len(result.disks) == 2
    with served(result, tmp_path) as (socket, _):
        handle = nbd.NBD()
        handle.connect_unix(str(socket))
        assert bytes(handle.pread(4096, 0)) == CONTENT[:4096]
        handle.shutdown()
    assert told(vddk) == {
        "server": "localhost",
        "vm": f"moref={guest}",
        "user": "administrator@vsphere.local",
        "password": f"+{PASSWORD} (600)",
        "thumbprint": thumbprint_of(vcenter),
        "file": "[LocalDS_0] my guest/my guest.vmdk",
        "libdir": str(tmp_path / "lib"),
        **OPTIONS,
        "cookie": f"+{COOKIE} (600)",
    }
    assert COOKIE not in repr(result) + report.said


def test_every_option_is_in_this_file() -> None:
    others = {"file", "libdir", "thumbprint"}
    vddk = {option.name for option in DECLARED if option.name.startswith("vddk-")}
    assert vddk == {f"vddk-{name}" for name in {*OPTIONS, *others}}
    assert [option.name for option in VcenterInput.options if option.secret] == ["vddk-cookie"]


@pytest.mark.parametrize(
    "words",
    [
        ("virt-v2v", "-i", "libvirt", "-ic", "vpx://root@vc.example.com/", "-it", "vddk"),
        ("virt-v2v", "-i", "vcenter"),
        ("v2v", "convert", "--input", "libvirt", "-ic", "esx://root@esxi.example.com/"),
    ],
)
def test_its_options_are_listed(words: tuple[str, ...]) -> None:
    program = Path(sys.executable).with_name(words[0])
    done = subprocess.run([program, *words[1:], "-io", "?"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in DECLARED:
        assert f"-io {option.name}=VALUE" in done.stdout


def test_it_is_among_the_capabilities() -> None:
    """Supervisors look for these words before they use the input."""
    program = Path(sys.executable).with_name("virt-v2v")
    done = subprocess.run([program, "--machine-readable"], capture_output=True, text=True, check=True)
    assert {"vcenter-https", "vddk", "input:vcenter", "input:ova", "input:vmx"} <= set(done.stdout.splitlines())


def test_without_options(vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path) -> None:
    result, _ = setup(vcenter, tmp_path, "my guest", transport="vddk")
    with served(result, tmp_path):
        pass
    assert set(told(vddk)) == {"server", "vm", "user", "password", "thumbprint", "file"}


def test_paths_of_disks_can_be_named(vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path) -> None:
    from v2v_core.api import InputSetupRequest
    from v2v_core.testing import FakeReporter

    def disks(*files: str) -> list[str]:
        values = {"ca-file": (str(vcenter.certificate),), "vddk-file": files}
        request = InputSetupRequest(
            directory=tmp_path,
            arguments=("my guest",),
            connection=vcenter.uri,
            password_file=vcenter.password_file,
            transport="vddk",
            options=OptionValues(values=values),
            report=FakeReporter(),
        )
        described = VcenterInput().v2v_input_setup(request).disks
        return [dict(disk.parameters)["file"] for disk in described if isinstance(disk, NbdkitPlugin)]

    assert disks("[other] a.vmdk", "[other] b.vmdk") == ["[other] a.vmdk", "[other] b.vmdk"]
    with pytest.raises(UsageError, match="given 1 times, and the virtual machine has 2 disks"):
        disks("[other] a.vmdk")


def test_a_disk_has_one_handle(vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path) -> None:
    """A client cannot use several connections, because several VDDK handles on one disk obstruct each other."""
    result, _ = setup(vcenter, tmp_path, "my guest", transport="vddk")
    for disk in result.disks:
        assert isinstance(disk, NbdkitPlugin)
        assert [used.name for used in disk.filters] == ["multi-conn", "blocksize"]
        assert disk.single
    with served(result, tmp_path) as (socket, _):
        (vddk / "handles").unlink(missing_ok=True)
        uri = f"nbd+unix:///?socket={socket}"
        target = tmp_path / "copied"
        subprocess.run(["nbdcopy", "--connections=4", "--", uri, str(target)], check=True)
        assert target.read_bytes() == CONTENT
    assert (vddk / "handles").read_text().split() == ["1"]


def test_the_thumbprint_that_is_named_is_trusted_and_passed_on(
    vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path
) -> None:
    """As with virt-v2v, this one option is enough: no authority has to be trusted."""
    right = thumbprint_of(vcenter)
    result, _ = setup(vcenter, tmp_path, "my guest", options={"vddk-thumbprint": right}, transport="vddk")
    with served(result, tmp_path):
        pass
    assert told(vddk)["thumbprint"] == right
    wrong = "00:" * 19 + "00"
    message, _ = refused(vcenter, tmp_path, "my guest", options={"vddk-thumbprint": wrong}, transport="vddk")
    assert f"has the thumbprint {right.lower()}, not {wrong}" in message
    # without a thumbprint, the certificate is verified first, and the library gets its thumbprint
    assert "not trusted" in refused(vcenter, tmp_path, "my guest", options={}, transport="vddk")[0]


def test_snapshots_can_be_read(vcenter: Vcenter, tmp_path: Path, vddk: Path, image: Path) -> None:
    """A named snapshot of a running machine can be read, but disks that no snapshot contains cannot."""
    from pyVim.task import WaitForTask
    from pyVmomi import vim

    flat = vim.vm.device.VirtualDisk.FlatVer2BackingInfo
    vcenter.add_vm("running", [image])
    vcenter.add_vm("independent", [image], backing=lambda path: flat(fileName=path, diskMode="independent_persistent"))
    with vcenter.service() as service:
        for name in ("running", "independent"):
            vm = service.RetrieveContent().searchIndex.FindByInventoryPath(f"DC0/vm/{name}")
            WaitForTask(vm.CreateSnapshot_Task(name="s", memory=False, quiesce=False), si=service)
            WaitForTask(vm.PowerOnVM_Task(), si=service)
    assert "it is running" in refused(vcenter, tmp_path, "running", transport="vddk")[0]
    options = {"ca-file": str(vcenter.certificate), "vddk-snapshot": "snapshot-1"}
    assert setup(vcenter, tmp_path, "running", options=options, transport="vddk")[0].disks
    message, hint = refused(vcenter, tmp_path, "independent", options=options, transport="vddk")
    assert "is independent, so that no snapshot contains it" in message
    assert "vddk-snapshot" in hint


@pytest.mark.parametrize("mapping", ["virtualMode", "physicalMode"])
def test_mappings(vcenter: Vcenter, tmp_path: Path, vddk: Path, image: Path, mapping: str) -> None:
    vcenter.control(f"map?vm={vcenter.add_vm(mapping, [image])}&mode={mapping}")
    if mapping == "virtualMode":
        assert setup(vcenter, tmp_path, mapping, transport="vddk")[0].disks
    else:
        assert "raw device mapping" in refused(vcenter, tmp_path, mapping, transport="vddk")[0]


def test_its_options_are_for_vddk_only(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="-io vddk-transports is for -it vddk"):
        setup(vcenter, tmp_path, "my guest", options={"vddk-transports": "nbd"})


def test_the_plugin_is_missing(vcenter: Vcenter, guest: str, tmp_path: Path) -> None:
    message, hint = refused(vcenter, tmp_path, "my guest", transport="vddk")
    assert "plugin for VDDK" in message
    assert "nbdkit-vddk-plugin" in hint
    assert "Debian has no such package" in hint
    options = {"vddk-libdir": str(tmp_path / "gone")}
    assert "not a directory" in refused(vcenter, tmp_path, "my guest", transport="vddk", options=options)[0]


@pytest.mark.parametrize(
    ("trouble", "why", "remedy"),
    [
        ("libvixDiskLib.so.8: cannot open shared object file: No such file or directory", "library was not found",
         "download the Virtual Disk Development Kit"),
        ("symbol lookup error: undefined symbol: VixDiskLib_Init", "does not work: ", "vddk-libdir"),
    ],
)  # fmt: skip
def test_the_library_is_missing(
    vcenter: Vcenter, guest: str, tmp_path: Path, vddk: Path, trouble: str, why: str, remedy: str
) -> None:
    (vddk / "trouble").write_text(trouble)
    message, hint = refused(vcenter, tmp_path, "my guest", transport="vddk")
    assert why in message
    assert remedy in hint
