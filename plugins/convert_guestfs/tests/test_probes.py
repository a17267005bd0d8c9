# SPDX-License-Identifier: GPL-2.0-or-later
"""What ``v2v doctor`` learns from this plugin: KVM, libguestfs and its appliance, the compressors."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from v2v_convert_guestfs.host import appliance_probe, probes
from v2v_convert_guestfs.host.kvm import KvmVerdict
from v2v_core.api import Finding, Status


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SUPERMIN_KERNEL", raising=False)
    (tmp_path / "boot").mkdir()
    (tmp_path / "modules").mkdir()
    return tmp_path


def probe_kernel(machine: Path) -> Finding:
    return appliance_probe.probe_kernel(machine / "boot", machine / "modules")


def test_no_kernel(machine: Path) -> None:
    assert probe_kernel(machine).status is Status.MISSING


def test_kernel_with_modules(machine: Path) -> None:
    (machine / "boot/vmlinuz-6.1").touch()
    (machine / "modules/6.1").mkdir()
    assert probe_kernel(machine) == Finding("kernel of the appliance", Status.OK, str(machine / "boot/vmlinuz-6.1"))


def test_kernel_beside_its_modules(machine: Path) -> None:
    (machine / "modules/6.9.fc40").mkdir()
    (machine / "modules/6.9.fc40/vmlinuz").touch()
    assert probe_kernel(machine).status is Status.OK


def test_kernel_without_modules(machine: Path) -> None:
    (machine / "boot/vmlinuz-6.1").touch()
    found = probe_kernel(machine)
    assert found.status is Status.BROKEN
    assert "modules/6.1" in found.detail


def test_kernel_that_only_root_can_read(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "boot/vmlinuz-6.1").touch()
    (machine / "modules/6.1").mkdir()
    # root can read everything, and these tests may be run by root
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = probe_kernel(machine)
    assert found.status is Status.BROKEN
    assert found.remedy == f"sudo chmod a+r {machine / 'boot/vmlinuz-6.1'}"


@pytest.mark.parametrize(
    ("script", "timeout", "status", "detail"),
    [
        ("echo 1.2.3", 5, Status.OK, "libguestfs 1.2.3"),
        ("echo trouble >&2; echo 'RuntimeError: no qemu' >&2; exit 1", 5, Status.BROKEN, "RuntimeError: no qemu"),
        ("exec sleep 60", 0.3, Status.BROKEN, "it did not within 0.3 seconds"),
    ],
)
def test_booting_the_appliance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, timeout: float, status: Status, detail: str
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\n{script}\n")
    fake.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(fake))
    found = appliance_probe.probe_appliance_boots(emulation=True, timeout=timeout)
    assert found.status is status
    assert detail in found.detail


def test_no_compressor_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {finding.name: finding.status for finding in probes.probe_compressors()}
    assert found == {"zstd": Status.OPTIONAL, "lz4": Status.OPTIONAL}


def probe(monkeypatch: pytest.MonkeyPatch, *, quick: bool, kernel: Status = Status.OK) -> dict[str, Finding]:
    monkeypatch.setattr(probes, "probe_libguestfs", lambda: [Finding("kernel", kernel, "y")])
    monkeypatch.setattr(probes, "probe_emulator", lambda: Finding("qemu-system", Status.OK, "y"))
    monkeypatch.setattr(probes, "kvm_works", lambda: KvmVerdict(False, "no device", 0.0))
    monkeypatch.setattr(
        probes, "probe_appliance_boots", lambda *, emulation: Finding("boots", Status.OK, str(emulation))
    )
    return {finding.name: finding for finding in probes.probe(quick=quick)}


def test_emulation_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe(monkeypatch, quick=False)
    assert list(found)[-1] == "boots"
    assert found["boots"] == Finding("boots", Status.OK, "True")
    assert found["hardware virtualization"].status is Status.OPTIONAL


def test_appliance_is_not_booted_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "boots" not in probe(monkeypatch, quick=True)
    broken = probe(monkeypatch, quick=False, kernel=Status.BROKEN)
    assert "boots" not in broken
    assert broken["kernel"].status is Status.BROKEN
