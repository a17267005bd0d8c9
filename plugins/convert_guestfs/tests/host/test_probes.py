# SPDX-License-Identifier: GPL-2.0-or-later
"""The findings of this plugin for ``v2v doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from v2v_convert_guestfs.host import probes
from v2v_convert_guestfs.host.kvm import KvmVerdict
from v2v_convert_guestfs.plugin import GuestfsConvert
from v2v_core.api import Finding, ProbeRequest, Status


def test_nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LIBGUESTFS_HV", "no-such-qemu")
    assert probes.probe_emulator().status is Status.MISSING
    compressors = {finding.name: finding for finding in probes.probe_compressors()}
    assert {compressors[name].status for name in ("zstd", "lz4")} == {Status.OPTIONAL}


def test_the_windows_drivers_are_looked_for_where_the_user_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VIRTIO_WIN_DIR", raising=False)
    (tmp_path / "viostor").mkdir()
    (tmp_path / "viostor/viostor.inf").write_bytes(b"")
    monkeypatch.setenv("VIRTIO_WIN", str(tmp_path))
    assert probes.probe_virtio_win() == Finding("virtio-win", Status.OK, str(tmp_path))
    monkeypatch.setenv("VIRTIO_WIN", str(tmp_path / "missing"))
    missing = probes.probe_virtio_win()
    assert missing.status is Status.OPTIONAL
    assert f"{tmp_path}/missing, which VIRTIO_WIN names, does not exist" in missing.detail


def findings(monkeypatch: pytest.MonkeyPatch, *, quick: bool, kernel: Status = Status.OK) -> dict[str, Finding]:
    monkeypatch.setattr(probes, "probe_libguestfs", lambda: [Finding("kernel", kernel, "y")])
    monkeypatch.setattr(probes, "probe_emulator", lambda: Finding("qemu", Status.OK, "y"))
    monkeypatch.setattr(probes, "kvm_works", lambda: KvmVerdict(False, "no device", 0.0))
    monkeypatch.setattr(
        probes, "probe_appliance_boots", lambda *, emulation: Finding("boots", Status.OK, str(emulation))
    )
    return {finding.name: finding for finding in GuestfsConvert().v2v_probe(ProbeRequest(quick=quick))}


def test_emulation_is_not_an_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    found = findings(monkeypatch, quick=False)
    assert found["boots"] == Finding("boots", Status.OK, "True")
    assert found["hardware virtualization"].status is Status.OPTIONAL


def test_the_appliance_is_not_booted_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "boots" not in findings(monkeypatch, quick=True)
    assert "boots" not in findings(monkeypatch, quick=False, kernel=Status.BROKEN)
