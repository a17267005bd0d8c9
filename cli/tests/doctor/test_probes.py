# SPDX-License-Identifier: GPL-2.0-or-later
"""The probes find what is there, miss what is not, and say what mends it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_cli.doctor import examination, extras, nbdkit, plugins, programs, space
from v2v_cli.render.findings import findings_as_json, findings_as_text
from v2v_convert_guestfs.host.kvm import KvmVerdict
from v2v_core.finding import Finding, Status
from v2v_core.packages import Family, Package, family, install


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Pretend to be a distribution."""

    def pretend(fields: dict[str, str]) -> None:
        monkeypatch.setattr(platform, "freedesktop_os_release", lambda: fields)

    return pretend


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


@pytest.mark.parametrize(
    ("fields", "expected", "command"),
    [
        ({"ID": "debian"}, Family.DEBIAN, "sudo apt-get install --no-install-recommends d"),
        ({"ID": "linuxmint", "ID_LIKE": "ubuntu debian"}, Family.DEBIAN, "sudo apt-get install"),
        ({"ID": "fedora"}, Family.FEDORA, "sudo dnf install f"),
        ({"ID": "rocky", "ID_LIKE": "rhel centos fedora"}, Family.FEDORA, "sudo dnf install f"),
        ({"ID": "nixos"}, Family.OTHER, "install d (its name in Debian) or f (in Fedora)"),
    ],
)
def test_remedies_are_for_this_distribution(
    release: Callable[[dict[str, str]], None], fields: dict[str, str], expected: Family, command: str
) -> None:
    release(fields)
    assert family() is expected
    assert install(Package("d", "f")).startswith(command)


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (missing,) = nbdkit.probe_nbdkit()
    assert (missing.name, missing.status) == ("nbdkit", Status.MISSING)
    found = by_name(list(programs.probe_programs()))
    assert {found[name].status for name in ("nbdcopy", "nbdinfo", "qemu-img", "qemu-nbd")} == {Status.MISSING}
    assert all(finding.remedy for finding in found.values() if finding.status is Status.MISSING)
    compressors = by_name(list(programs.probe_compressors()))
    assert {compressors[name].status for name in ("zstd", "lz4")} == {Status.OPTIONAL}


def test_parts_of_nbdkit_are_looked_for_where_it_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nbdkit"
    program.write_text(f"#!/bin/sh\necho version=1.2.3\necho plugindir={tmp_path}\necho filterdir={tmp_path}\n")
    program.chmod(0o755)
    (tmp_path / "nbdkit-file-plugin.so").touch()
    (tmp_path / "nbdkit-retry-filter.so").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name(list(nbdkit.probe_nbdkit()))
    assert found["nbdkit"].detail == "version 1.2.3"
    assert found["nbdkit plugin file"].status is Status.OK
    assert found["nbdkit plugin null"].status is Status.MISSING
    assert found["nbdkit plugin vddk"].status is Status.OPTIONAL
    assert found["nbdkit filter retry"].status is Status.OK
    assert found["nbdkit filter count"].status is Status.OPTIONAL


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SUPERMIN_KERNEL", raising=False)
    (tmp_path / "boot").mkdir()
    (tmp_path / "modules").mkdir()
    return tmp_path


def probe_kernel(machine: Path) -> Finding:
    return libguestfs.probe_kernel(machine / "boot", machine / "modules")


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
    found = libguestfs.probe_appliance_boots(emulation=True, timeout=timeout)
    assert found.status is status
    assert detail in found.detail


def test_place_that_does_not_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VIRT_V2V_TMPDIR", str(tmp_path / "missing"))
    found = by_name(list(space.probe_space()))
    assert found["space for overlays"].status is Status.BROKEN
    assert "VIRT_V2V_TMPDIR" in (found["space for overlays"].remedy or "")


def test_full_file_system(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        free = 5 * 1024**2

    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Full)
    found = list(space.probe_space())
    assert {finding.status for finding in found} == {Status.BROKEN}
    assert "5 MiB" in found[0].detail


def test_extras_are_optional_and_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyVmomi").mkdir()
    (tmp_path / "pyVmomi/__init__.py").write_text("raise SystemError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("VIRTIO_WIN", str(tmp_path))
    found = by_name(list(extras.probe_extras()))
    assert found["pyVmomi for Python"].status is Status.OK
    assert found["virtio-win"].detail == str(tmp_path)
    assert {finding.status for finding in found.values()} <= {Status.OK, Status.OPTIONAL}


def test_roles_without_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "installed", lambda _role: ())
    found = list(plugins.probe_plugins())
    assert {finding.status for finding in found} == {Status.MISSING}
    assert found[0].remedy == "pip install v2v-input-disk"


def examine(monkeypatch: pytest.MonkeyPatch, *, quick: bool, kernel: Status = Status.OK) -> tuple[Finding, ...]:
    for name in ("probe_plugins", "probe_nbdkit", "probe_programs", "probe_space", "probe_extras"):
        monkeypatch.setattr(examination, name, lambda: [Finding("x", Status.OK, "y")])
    monkeypatch.setattr(examination, "probe_libguestfs", lambda: [Finding("kernel", kernel, "y")])
    monkeypatch.setattr(examination, "kvm_works", lambda: KvmVerdict(False, "no device", 0.0))
    monkeypatch.setattr(
        examination, "probe_appliance_boots", lambda *, emulation: Finding("boots", Status.OK, str(emulation))
    )
    return examination.examine(quick=quick)


def test_emulation_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = examine(monkeypatch, quick=False)
    assert examination.conversions_can_run(findings)
    assert findings[-1] == Finding("boots", Status.OK, "True")
    assert by_name(list(findings))["hardware virtualization"].status is Status.OPTIONAL


def test_appliance_is_not_booted_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "boots" not in by_name(list(examine(monkeypatch, quick=True)))
    broken = examine(monkeypatch, quick=False, kernel=Status.BROKEN)
    assert "boots" not in by_name(list(broken))
    assert not examination.conversions_can_run(broken)


FINDINGS = (
    Finding("nbdkit", Status.MISSING, "not\x1b there", "install it"),
    Finding("kvm", Status.OPTIONAL, "no"),
    Finding("qemu", Status.OK, "/usr/bin/qemu", "not shown"),
)


def test_findings_as_text() -> None:
    assert findings_as_text(FINDINGS) == (
        "missing   nbdkit: not\N{REPLACEMENT CHARACTER} there\n"
        "          -> install it\n"
        "optional  kvm: no\n"
        "ok        qemu: /usr/bin/qemu\n"
        "\n"
        "Conversions cannot run on this machine.\n"
    )


def test_findings_as_json() -> None:
    record = json.loads(findings_as_json(FINDINGS[1:]))
    assert record["conversions_can_run"] is True
    assert record["findings"][0] == {"name": "kvm", "status": "optional", "detail": "no", "remedy": None}
