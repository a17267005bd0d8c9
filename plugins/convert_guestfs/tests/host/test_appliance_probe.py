# SPDX-License-Identifier: GPL-2.0-or-later
"""What the appliance is built from is found, missed or found broken, and its boot is judged by its end."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from v2v_convert_guestfs.host import appliance_probe
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
    # These tests may be run by root, who can read everything.
    monkeypatch.setattr(os, "access", lambda *_: False)
    found = probe_kernel(machine)
    assert found.status is Status.BROKEN
    assert found.remedy == f"sudo chmod a+r {machine / 'boot/vmlinuz-6.1'}"


def fake_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Let a script take the place of the process that boots the appliance; return libguestfs's cache directory."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setenv("LIBGUESTFS_CACHEDIR", str(tmp_path))
    monkeypatch.delenv("VIRT_V2V_TMPDIR", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("script", "timeout", "status", "detail"),
    [
        ("echo 1.2.3", 5, Status.OK, "libguestfs 1.2.3"),
        ("echo trouble >&2; echo 'RuntimeError: no qemu' >&2; exit 1", 5, Status.BROKEN, "RuntimeError: no qemu"),
        ("echo 'qemu: no'; echo; exit 1", 5, Status.BROKEN, "qemu: no"),
        ("exec sleep 60", 0.3, Status.BROKEN, "it did not within 0.3 seconds"),
    ],
)
def test_booting_the_appliance(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, timeout: float, status: Status, detail: str
) -> None:
    fake_python(tmp_path, monkeypatch, script)
    found = appliance_probe.probe_appliance_boots(emulation=True, timeout=timeout)
    assert found.status is status
    assert detail in found.detail


@pytest.mark.parametrize("end", ["echo 'error: no udev'; echo $kept; exit 1", "kill -SEGV $$"])
def test_another_appliance_shows_whether_the_kept_one_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, end: str
) -> None:
    kept = (
        fake_python(
            tmp_path,
            monkeypatch,
            f'kept={tmp_path}/.guestfs-$(id -u)\n[ "$LIBGUESTFS_CACHEDIR" != {tmp_path} ] || {{ {end}; }}\necho 1.2.3',
        )
        / f".guestfs-{os.geteuid()}"
    )
    found = appliance_probe.probe_appliance_boots(emulation=True, timeout=5)
    assert (found.status, found.remedy) == (Status.OPTIONAL, f"rm -r {kept}")
    assert f"{kept} does not (" in found.detail
    assert not list(tmp_path.glob("v2v-doctor-*"))


def test_an_appliance_that_never_boots_is_not_blamed_on_the_kept_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_python(tmp_path, monkeypatch, f"echo 'error: no udev'; echo {tmp_path}/.guestfs-0; exit 1")
    found = appliance_probe.probe_appliance_boots(emulation=True, timeout=5)
    assert (found.status, found.remedy) == (Status.BROKEN, "libguestfs-test-tool shows where it stops")
    assert found.detail.startswith("error: no udev")
