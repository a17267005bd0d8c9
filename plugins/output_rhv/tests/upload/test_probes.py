# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` reports for ``-o rhv-upload``."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_core.api import ProbeRequest, Status
from v2v_output_rhv.upload import probes
from v2v_output_rhv.upload.plugin import UploadOutput

NAMES = ["ovirtsdk4 for Python", "ovirt_imageio for Python", "nbd for Python", "nbdkit plugin python"]


def test_everything_is_found_where_it_is_installed() -> None:
    findings = UploadOutput().v2v_probe(ProbeRequest(quick=True))
    assert [finding.name for finding in findings] == NAMES
    assert {finding.status for finding in findings} == {Status.OK}
    assert findings[1].detail.endswith("ovirt_imageio/__init__.py")
    assert Path(findings[3].detail).is_file()


def test_missing_libraries_are_optional_and_have_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probes, "find_spec", lambda _name: None)
    nbdkit = tmp_path / "nbdkit"
    nbdkit.write_text(f"#!/bin/sh\necho plugindir={tmp_path}\n")
    nbdkit.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    findings = probes.probe()
    assert [finding.name for finding in findings] == NAMES
    assert {finding.status for finding in findings} == {Status.OPTIONAL}
    assert [finding.remedy for finding in findings[:2]] == [
        "pip install ovirt-engine-sdk-python",
        "pip install ovirt-imageio",
    ]
    assert "nbdkit" in str(findings[3].remedy)
    assert all("-o rhv-upload" in finding.detail for finding in findings)


def test_without_nbdkit_its_plugin_is_not_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Another probe reports that nbdkit itself is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [finding.name for finding in probes.probe()] == NAMES[:3]
