# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of the output role for each of the outputs. Disks are really written."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from v2v_core.api import OutputResult
from v2v_core.testing import OutputExample, OutputPluginContract
from v2v_output_local.local.plugin import LocalOutput
from v2v_output_local.null.plugin import NullOutput


class TestLocalRaw(OutputPluginContract):
    plugin_class = LocalOutput

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        (tmp_path / "destination").mkdir()
        return OutputExample(storage=str(tmp_path / "destination"))

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        return Path(result.created[index - 1]).read_bytes()


class TestLocalPreallocated(TestLocalRaw):
    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        (tmp_path / "destination").mkdir()
        return OutputExample(storage=str(tmp_path / "destination"), allocation="preallocated")


class TestLocalCompressedQcow2(OutputPluginContract):
    plugin_class = LocalOutput

    @pytest.fixture
    def example(self, tmp_path: Path) -> OutputExample:
        (tmp_path / "destination").mkdir()
        return OutputExample(
            storage=str(tmp_path / "destination"), format="qcow2", options=(("compressed", None),), name="a b,c"
        )

    def read_disk(self, example: OutputExample, result: OutputResult, index: int) -> bytes:
        image = Path(result.created[index - 1])
        raw = image.parent.parent / "read.raw"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, raw], check=True)
        return raw.read_bytes()


class TestNull(OutputPluginContract):
    plugin_class = NullOutput
    keeps_data = False
    creates = False
    needs_destination = False

    @pytest.fixture
    def example(self) -> OutputExample:
        return OutputExample()
