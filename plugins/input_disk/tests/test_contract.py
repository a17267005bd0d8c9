# SPDX-License-Identifier: GPL-2.0-or-later
"""Run the contract of inputs on ``-i disk``."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from v2v_core.testing import InputExample, InputPluginContract
from v2v_input_disk.plugin import DiskInput

CONTENT = b"v2v " * 256 * 1024


class TestDiskInput(InputPluginContract):
    """Two disks of two formats."""

    plugin_class = DiskInput

    @pytest.fixture
    def example(self, tmp_path: Path) -> InputExample:
        raw, qcow2 = tmp_path / "guest.img", tmp_path / "second disk.qcow2"
        raw.write_bytes(CONTENT)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, qcow2], check=True)
        return InputExample(arguments=(str(raw), str(qcow2)), contents=(CONTENT, CONTENT), files=(raw, qcow2))
