# SPDX-License-Identifier: GPL-2.0-or-later
"""Python files in the current directory are never run, because programs that read passwords could run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ova_files import descriptor, stream_optimized
from v2v_core.api import NbdkitPlugin
from v2v_core.testing import running_sshd
from vcenter_input import setup
from vcenter_simulator import Vcenter

# pyvmomi leaves the socket of a failed login to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

CONTENT = b"planted?" * 131_072
PLANTED = (
    "json.py",
    "nbd.py",
    "ssl.py",
    "sitecustomize.py",
    "http/__init__.py",
    "keyring/__init__.py",
    "pyVim/connect.py",
    "v2v_core/__init__.py",
    "v2v_core/api.py",
    "v2v_input_vmware/__init__.py",
    "v2v_input_vmware/vcenter/cookie.py",
)

Words = list[str | Path]


class Directory:
    """A directory with modules that record that they were run."""

    def __init__(self, path: Path) -> None:
        self.path, self._ran = path, path / "ran"
        for name in PLANTED:
            file = path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"with open({str(self._ran)!r}, 'a') as ran:\n    ran.write('{name} ')\n")

    def ran(self) -> str:
        return self._ran.read_text() if self._ran.exists() else ""


@pytest.fixture
def planted(tmp_path: Path) -> Directory:
    return Directory(tmp_path / "planted")


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("planted", [image])
    return "planted"


@pytest.fixture
def vcenter_words(vcenter: Vcenter, guest: str) -> Words:
    return ["vcenter", *vcenter.options, guest]


@pytest.fixture
def ssh_words(tmp_path: Path) -> Iterator[Words]:
    place = tmp_path / "datastore"
    place.mkdir()
    (place / "disk-flat.vmdk").write_bytes(CONTENT)
    (place / "guest.vmx").write_text('displayName = "over ssh"\nscsi0:0.fileName = "disk.vmdk"\n')
    with running_sshd(tmp_path / "sshd") as sshd:
        yield ["vmx", "-it", "ssh", *sshd.options, sshd.uri(str(place / "guest.vmx"))]


@pytest.fixture
def ova_words(tmp_path: Path) -> Words:
    directory = tmp_path / "ova"
    directory.mkdir()
    (tmp_path / "raw").write_bytes(CONTENT)
    disk = stream_optimized(tmp_path / "raw", directory / "disk.vmdk")
    (directory / "guest.ovf").write_bytes(descriptor({disk.name: disk}))
    return ["ova", directory]


def test_the_renewal_of_a_session(vcenter: Vcenter, guest: str, tmp_path: Path, planted: Directory) -> None:
    """nbdkit runs the script through a shell, in the directory in which the server was started."""
    result, _ = setup(vcenter, tmp_path, guest)
    (disk,) = result.disks
    assert isinstance(disk, NbdkitPlugin)
    script = dict(disk.parameters)["cookie-script"]
    cookies = []
    for _ in range(2):
        argv = ["/bin/sh", "-c", script]
        done = subprocess.run(argv, cwd=planted.path, capture_output=True, text=True, check=False)
        assert planted.ran() == ""
        assert done.returncode == 0, done.stderr
        cookies.append(done.stdout)
        vcenter.control("expire")
    first, second = cookies
    assert first.startswith("vmware_soap_session=")
    assert second != first, "it logged in again"


@pytest.mark.parametrize("source", ["vcenter_words", "ssh_words", "ova_words"])
def test_a_whole_input(
    source: str,
    request: pytest.FixtureRequest,
    v2v_short_path: Path,
    planted: Directory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mode, *words = request.getfixturevalue(source)
    monkeypatch.setenv("XDG_STATE_HOME", str(v2v_short_path / "state"))
    run, programs, target = v2v_short_path / "run", Path(sys.executable).parent, v2v_short_path / "copied"
    try:
        helper = [programs / f"helper-v2v-input-{mode}", "--dir", run, *words]
        done = subprocess.run(helper, cwd=planted.path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        copy = ["nbdcopy", "--", f"nbd+unix:///?socket={run}/in1", target]
        subprocess.run(copy, cwd=planted.path, check=True)
    finally:
        cleanup = [programs / "helper-v2v-cleanup", "--dir", run]
        subprocess.run(cleanup, cwd=planted.path, check=True, capture_output=True)
    assert target.read_bytes() == CONTENT
    assert planted.ran() == ""
