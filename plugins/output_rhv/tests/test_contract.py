# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the output role for ``-o rhv`` and ``-o vdsm``. Disks are really written."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from export_domains import DOMAIN_ID, SERVER, as_root, make_domain, simulate_mount
from v2v_core.api import OutputResult
from v2v_core.testing import OutputExample, OutputPluginContract
from v2v_output_rhv.export_domain.plugin import ExportDomainOutput
from v2v_output_rhv.upload.plugin import UploadOutput
from v2v_output_rhv.vdsm.plugin import VdsmOutput

REPLACED = "replaced files are deleted when all new files have their names: after that, they cannot be restored"


def read_qcow2(image: Path, scratch: Path) -> bytes:
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, scratch], check=True)
    return scratch.read_bytes()


class TestExportDomain(OutputPluginContract):
    plugin_class = ExportDomainOutput
    mode = "rhv"

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        make_domain(tmp_path / "esd")
        return OutputExample(storage=str(tmp_path / "esd"))

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return Path(result.created[index - 1]).read_bytes()


class TestExportDomainPreallocatedQcow2(TestExportDomain):
    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        make_domain(tmp_path / "esd")
        return OutputExample(storage=str(tmp_path / "esd"), format="qcow2", allocation="preallocated")

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return read_qcow2(Path(result.created[index - 1]), Path(example.storage or "").parent / "read.raw")


@as_root
class TestExportDomainOverNfs(OutputPluginContract):
    """The file server is a directory, and ``mount -t nfs`` is simulated: the kernel may have no NFS client."""

    plugin_class = ExportDomainOutput
    mode = "rhv"

    @pytest.fixture
    def example(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OutputExample:
        self.exported = tmp_path / "exported"
        make_domain(self.exported)
        simulate_mount(tmp_path / "bin", self.exported)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
        return OutputExample(storage=SERVER)

    def look(self, example: OutputExample) -> dict[str, object]:
        here = OutputExample(storage=str(self.exported))
        return {key.replace(str(self.exported), str(example.storage)): seen for key, seen in super().look(here).items()}

    def put_neighbour(self, example: OutputExample, name: str) -> None:
        super().put_neighbour(OutputExample(storage=str(self.exported)), name)

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return Path(result.created[index - 1].replace(str(example.storage), str(self.exported))).read_bytes()


class TestVdsm(OutputPluginContract):
    plugin_class = VdsmOutput
    mode = "vdsm"
    names = (
        ("vdsm-image-uuid", "image1"),
        ("vdsm-image-uuid", "image2"),
        ("vdsm-vol-uuid", "vol1"),
        ("vdsm-vol-uuid", "vol2"),
    )

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        domain = make_domain(tmp_path / "data-center")
        for image in ("image1", "image2"):
            (domain / "images" / image).mkdir()
        return self.example_in(domain)

    def example_in(self, domain: Path) -> OutputExample:
        options = (*self.names, ("vdsm-vm-uuid", "machine"), ("vdsm-ovf-output", str(domain / "master" / "vms")))
        return OutputExample(storage=str(domain), options=options)

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        assert result.created[index - 1].endswith(f"/{DOMAIN_ID}/images/image{index}/vol{index}")
        return Path(result.created[index - 1]).read_bytes()


class TestVdsmOverVolumesOfVdsm(TestVdsm):
    """VDSM has already created volumes and ``.meta`` files."""

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        domain = make_domain(tmp_path / "data-center")
        for number in (1, 2):
            image = domain / "images" / f"image{number}"
            image.mkdir()
            (image / f"vol{number}").write_bytes(b"empty volume")
            (image / f"vol{number}.meta").write_bytes(b"VDSM's")
        return self.example_in(domain)

    @pytest.mark.xfail(reason=REPLACED, strict=True)
    def test_abort_after_finalize_takes_everything_back(self, run: Any, example: OutputExample) -> None:
        super().test_abort_after_finalize_takes_everything_back(run, example)

    @pytest.mark.xfail(reason=REPLACED, strict=True)
    def test_abort_in_a_new_process_after_finalize_was_killed(self, run: Any, example: OutputExample) -> None:
        super().test_abort_in_a_new_process_after_finalize_was_killed(run, example)


class TestVdsmQcow2(TestVdsm):
    def example_in(self, domain: Path) -> OutputExample:
        example = super().example_in(domain)
        return OutputExample(storage=example.storage, options=example.options, format="qcow2")

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return read_qcow2(Path(result.created[index - 1]), Path(example.storage or "").parent / "read.raw")


def test_words_of_machine_readable() -> None:
    """Supervisors look for these words before they use an output."""
    assert ExportDomainOutput.capabilities == ("ovf:ovirtexp",)
    assert UploadOutput.capabilities == ("ovf:ovirt",)
    assert VdsmOutput.capabilities == ("vdsm-compat-option", "ovf:ovirt", "ovf:ovirtexp")
