# SPDX-License-Identifier: GPL-2.0-or-later
"""The KVM probe must be able to say yes as well as no, and quickly."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from v2v_convert_guestfs.host import kvm, kvm_payload

x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="the payload is for x86")


@pytest.fixture(autouse=True)
def no_forced_emulation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LIBGUESTFS_BACKEND_SETTINGS", raising=False)
    monkeypatch.delenv("LIBGUESTFS_HV", raising=False)


def fake_qemu(tmp_path: Path, script: str) -> str:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


def test_payload_runs_to_its_end_under_emulation() -> None:
    works, reason = kvm_payload.run_payload(kvm.find_emulator() or "", "tcg", 20)
    assert works, reason


@x86_only
@pytest.mark.skipif(not Path("/dev/kvm").exists(), reason="this machine has no /dev/kvm")
def test_verdict_comes_within_the_time_limit_with_a_reason() -> None:
    verdict = kvm.kvm_works(timeout=5)
    assert verdict.seconds < 6
    assert verdict.reason


def test_missing_device_is_an_immediate_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_KVM_DEVICE", Path("/nonexistent/kvm"))
    verdict = kvm.kvm_works()
    assert (verdict.works, verdict.reason) == (False, "/nonexistent/kvm does not exist")
    assert verdict.seconds < 0.1


def test_file_that_is_no_device_makes_no_virtual_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(kvm, "_KVM_DEVICE", tmp_path / "kvm")
    assert "does not create a virtual machine" in kvm.kvm_works().reason


@pytest.mark.parametrize("settings", ["force_tcg", "gdb:force_tcg"])
def test_forced_emulation_needs_no_probe(monkeypatch: pytest.MonkeyPatch, settings: str) -> None:
    monkeypatch.setenv("LIBGUESTFS_BACKEND_SETTINGS", settings)
    monkeypatch.setattr(kvm, "run_payload", lambda *_: pytest.fail("the probe ran"))
    assert not kvm.kvm_works().works


def test_other_hosts_trust_a_device_that_makes_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    monkeypatch.setattr(kvm, "_device_refusal", lambda: None)
    assert kvm.kvm_works().works


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("printf R; exec sleep 60", "the virtual CPU hung after real mode, for 0.5 seconds"),
        ("printf RPL; echo 'KVM internal error. Suberror: 1' >&2; exec sleep 60", "stopped after long mode"),
        ("echo 'qemu: warning: x' >&2; echo 'qemu: failed to set MSR 0x10a' >&2; exit 1", "failed to set MSR 0x10a"),
        ("exit 0", "qemu ended before its first instruction: without a word"),
    ],
)
def test_reason_says_how_far_it_came(tmp_path: Path, script: str, reason: str) -> None:
    works, said = kvm_payload.run_payload(fake_qemu(tmp_path, script), "kvm", 0.5)
    assert not works
    assert reason in said


@x86_only
def test_bytes_are_the_assembled_payload(tmp_path: Path) -> None:
    source = Path(kvm_payload.__file__).with_name("kvm_payload.S")
    subprocess.run(["as", "--64", "-o", tmp_path / "o", source], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".text", tmp_path / "o", tmp_path / "bin"], check=True)
    code = kvm_payload._CODE.ljust(kvm_payload._RESET_OFFSET, b"\0") + kvm_payload._RESET_VECTOR
    assert (tmp_path / "bin").read_bytes() == code.ljust(kvm_payload._FIRMWARE_SIZE, b"\0")
