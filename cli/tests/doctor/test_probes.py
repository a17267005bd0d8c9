# SPDX-License-Identifier: GPL-2.0-or-later
"""The probes report things that are there, things that are missing, and the command that installs these."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_cli.doctor import examination, nbdkit, plugins, programs, space
from v2v_cli.render.findings import findings_as_json, findings_as_text
from v2v_core import discovery
from v2v_core.discovery import Installed, Role
from v2v_core.errors import PluginError
from v2v_core.finding import Finding, Status
from v2v_core.hookspecs import ProbeRequest
from v2v_core.packages import Family, Package, family, install


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Return a function that makes this machine look like another Linux distribution."""

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


def test_parts_of_nbdkit_are_looked_for_in_its_own_directories(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "nbdkit"
    program.write_text(f"#!/bin/sh\necho version=1.2.3\necho plugindir={tmp_path}\necho filterdir={tmp_path}\n")
    program.chmod(0o755)
    (tmp_path / "nbdkit-file-plugin.so").touch()
    (tmp_path / "nbdkit-retry-filter.so").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    found = by_name(list(nbdkit.probe_nbdkit()))
    assert found["nbdkit"].detail == "version 1.2.3"
    assert found["nbdkit plugin file"].status is Status.OK
    assert found["nbdkit plugin null"].status is Status.OPTIONAL
    assert found["nbdkit filter retry"].status is Status.OK
    assert found["nbdkit filter retry-request"].status is Status.OPTIONAL
    (tmp_path / "nbdkit-file-plugin.so").unlink()
    assert by_name(list(nbdkit.probe_nbdkit()))["nbdkit plugin file"].status is Status.MISSING


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


def test_roles_without_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "installed", lambda _role: ())
    found = list(plugins.probe_plugins())
    assert {finding.status for finding in found} == {Status.MISSING}
    assert found[0].remedy == "pip install v2v-input-disk"


def test_order_is_that_of_a_conversion_and_plugins_come_last(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("probe_plugins", "probe_nbdkit", "probe_programs", "probe_space"):
        monkeypatch.setattr(examination, name, lambda name=name: [Finding(name, Status.OK, "y")])
    asked: list[bool] = []

    def ask(*, quick: bool) -> list[Finding]:
        asked.append(quick)
        return [Finding("asked", Status.BROKEN, "y")]

    monkeypatch.setattr(examination, "ask_plugins", ask)
    findings = examination.examine(quick=True)
    assert [finding.name for finding in findings] == [
        *("probe_plugins", "probe_nbdkit", "probe_programs", "probe_space", "asked")
    ]
    assert asked == [True]
    assert not examination.conversions_can_run(findings)
    assert examination.conversions_can_run(findings[:-1])


def test_plugins_are_asked_once_each_and_a_broken_one_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def entry(role: Role, name: str, target: str) -> Installed:
        return Installed(role=role, name=name, target=target, distribution="v2v-x", version="1")

    there = {
        Role.INPUT: (entry(Role.INPUT, "broken", "a:A"),),
        Role.OUTPUT: (entry(Role.OUTPUT, "fine", "b:B"), entry(Role.OUTPUT, "finer", "b:B")),
    }
    asked: list[str] = []

    class Fine:
        def probe(self, request: ProbeRequest) -> tuple[Finding, ...]:
            return (Finding("sdk", Status.OK, str(request.quick)),)

    def load(_role: Role, name: str) -> Fine:
        asked.append(name)
        if name == "broken":
            raise PluginError("it is broken", hint="mend it")
        return Fine()

    monkeypatch.setattr(discovery, "installed", lambda role: there.get(role, ()))
    monkeypatch.setattr(plugins, "load_plugin", load)
    assert list(plugins.ask_plugins(quick=True)) == [
        Finding("input plugin broken", Status.OPTIONAL, "it is broken", "mend it"),
        Finding("sdk", Status.OK, "True"),
    ]
    assert asked == ["broken", "fine"]


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
