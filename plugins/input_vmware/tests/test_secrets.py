# SPDX-License-Identifier: GPL-2.0-or-later
"""Passwords: that no other user sees them, over https, ssh and VDDK, while disks are read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2v_core.testing import files_with_secret, running_sshd, watch_for_secret
from vcenter_simulator import PASSWORD, Vcenter

CONTENT = b"not secret" * 104_857 + b"123456"
COOKIE = "the cookie of a session"

Words = list[str | Path]


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine and return its name."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("my guest", [image])
    return "my guest"


@pytest.fixture
def over_https(vcenter: Vcenter, guest: str) -> Words:
    """Return the arguments of the input over https."""
    return ["vcenter", *vcenter.options, guest]


@pytest.fixture
def over_vddk(vcenter: Vcenter, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """Return the arguments of the input over VDDK, with a stand-in for VDDK."""
    stand_in = Path(__file__).parent / "vddk_stand_in"
    monkeypatch.setenv("PATH", f"{stand_in}:{os.environ['PATH']}")
    monkeypatch.setenv("V2V_VDDK_STAND_IN", str(tmp_path / "vddk"))
    (tmp_path / "vddk").mkdir()
    (tmp_path / "vddk/disk").write_bytes(CONTENT)
    return ["vcenter", *vcenter.options, "-it", "vddk", "-io", f"vddk-cookie={COOKIE}", guest]


@pytest.fixture
def over_ssh(tmp_path: Path) -> Iterator[Words]:
    """Return the arguments of the input over ssh, for a real sshd that accepts only the password."""
    place = tmp_path / "datastore"
    place.mkdir()
    (place / "disk-flat.vmdk").write_bytes(CONTENT)
    (place / "guest.vmx").write_text('displayName = "over ssh"\nscsi0:0.fileName = "disk.vmdk"\n')
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    with running_sshd(tmp_path / "sshd", password=PASSWORD) as sshd:
        known = f"ssh-known-hosts={sshd.known_hosts}"
        yield ["vmx", "-it", "ssh", "-ip", tmp_path / "password", "-io", known, sshd.uri(str(place / "guest.vmx"))]


AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="sshd looks a password up in the shadow file of the machine")


@pytest.mark.parametrize("transport", ["over_https", "over_vddk", pytest.param("over_ssh", marks=AS_ROOT)])
def test_the_password_is_not_visible_to_other_users(
    transport: str,
    request: pytest.FixtureRequest,
    v2v_short_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run the input step, a copy from its servers, and the cleanup, each in a process of its own."""
    mode, *words = request.getfixturevalue(transport)
    run, programs = v2v_short_path / "run", Path(sys.executable).parent
    monkeypatch.setenv("XDG_STATE_HOME", str(v2v_short_path / "state"))
    helper = [programs / f"helper-v2v-input-{mode}", "--dir", run, "-v", *words]
    try:
        with watch_for_secret(PASSWORD) as shown:
            done = subprocess.run(helper, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            target = v2v_short_path / "copied"
            subprocess.run(["nbdcopy", "--", f"nbd+unix:///?socket={run}/in1", str(target)], check=True)
            # longer than the watcher sleeps, while the servers are logged in
            time.sleep(0.3)
        holding, with_cookie = (files_with_secret(v2v_short_path, secret) for secret in (PASSWORD, COOKIE))
        modes = {path.stat().st_mode & 0o777 for path in (*holding, *with_cookie)}
    finally:
        subprocess.run([programs / "helper-v2v-cleanup", "--dir", run], check=True, capture_output=True)
    assert shown == set()
    assert target.read_bytes() == CONTENT
    assert PASSWORD not in done.stdout + done.stderr
    # the servers read it there when they log in again
    assert {path.parent for path in holding} == {run / "input"}
    assert modes == {0o600}
    # the option is only in the argument list that the user typed
    assert COOKIE not in done.stdout + done.stderr
    assert {path.parent for path in with_cookie} <= {run / "input"}
    assert files_with_secret(v2v_short_path, PASSWORD) == []


@pytest.mark.parametrize("transport", ["over_https", pytest.param("over_ssh", marks=AS_ROOT)])
def test_a_failure_does_not_show_it(
    transport: str, request: pytest.FixtureRequest, v2v_short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode, *words = request.getfixturevalue(transport)
    wrong = v2v_short_path / "wrong"
    wrong.write_text("wrong and secret\n")
    words[words.index("-ip") + 1] = str(wrong)
    monkeypatch.setenv("XDG_STATE_HOME", str(v2v_short_path / "state"))
    program = Path(sys.executable).with_name("virt-v2v")
    with watch_for_secret("wrong and secret") as shown:
        argv = [program, "-i", mode, *words, "-v", "-x", "-o", "null"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "password" in done.stderr
    assert shown == set()
    assert "wrong and secret" not in done.stdout + done.stderr
    assert files_with_secret(v2v_short_path, "wrong and secret") == [wrong]
