# SPDX-License-Identifier: GPL-2.0-or-later
"""The findings of the inputs with and without nbdkit, its plugins and pyVmomi."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from v2v_core.api import Finding, ProbeRequest, Status
from v2v_input_vmware import probes
from v2v_input_vmware.ova.plugin import OvaInput
from v2v_input_vmware.vcenter.plugin import VcenterInput
from v2v_input_vmware.vmx.plugin import VmxInput


def findings() -> dict[str, Finding]:
    found = [probe for plugin in (VcenterInput(), VmxInput()) for probe in plugin.v2v_probe(ProbeRequest(quick=True))]
    return {finding.name: finding for finding in found}


@pytest.fixture
def nbdkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a fake nbdkit on PATH, and return the empty directory that it names for plugins."""
    program, plugins = tmp_path / "bin/nbdkit", tmp_path / "plugins"
    program.parent.mkdir()
    plugins.mkdir()
    program.write_text(f"#!/bin/sh\necho version=1.32\necho plugindir={plugins}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return plugins


def test_all_is_there(nbdkit: Path) -> None:
    for name in ("curl", "ssh", "vddk"):
        (nbdkit / f"nbdkit-{name}-plugin.so").touch()
    found = findings()
    assert list(found) == ["pyVmomi for Python", "nbdkit plugin curl", "nbdkit plugin vddk", "nbdkit plugin ssh"]
    assert {finding.status for finding in found.values()} == {Status.OK}
    assert found["nbdkit plugin curl"].detail == str(nbdkit / "nbdkit-curl-plugin.so")


def test_missing_parts_are_reported_with_a_remedy(nbdkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(probes, "find_spec", nothing)
    found = findings()
    assert len(found) == 4
    assert {finding.status for finding in found.values()} == {Status.OPTIONAL}
    assert found["pyVmomi for Python"].remedy == "pip install pyvmomi"
    assert "nbdkit-vddk-plugin" in str(found["nbdkit plugin vddk"].remedy)
    assert all(finding.remedy for finding in found.values())


def test_without_nbdkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(findings()) == ["pyVmomi for Python"]


def test_packages_need_nothing() -> None:
    assert not hasattr(OvaInput, "v2v_probe")


def test_uri_schemes() -> None:
    assert VcenterInput.uri_schemes == ("vpx", "esx")
