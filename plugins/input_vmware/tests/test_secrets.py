# SPDX-License-Identifier: GPL-2.0-or-later
"""Passwords: where they come from, and that nobody else sees them, over https, ssh and VDDK, while disks are read."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from v2v_core.api import UsageError
from v2v_core.testing import files_with_secret, running_sshd, watch_for_secret
from v2v_input_vmware.vcenter.address import parse_address
from v2v_input_vmware.vcenter.password import find_password
from vcenter_simulator import PASSWORD, Vcenter

CONTENT = b"not secret" * 104_857 + b"123456"
COOKIE = "the cookie of somebody's session"

Words = list[str | Path]


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the name of a machine."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(CONTENT)
    vcenter.add_vm("my guest", [image])
    return "my guest"


@pytest.fixture
def over_https(vcenter: Vcenter, guest: str) -> Words:
    """Give the words of the input over https."""
    return ["vcenter", *vcenter.options, guest]


@pytest.fixture
def over_vddk(vcenter: Vcenter, guest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Words:
    """Give the words of the input over VDDK, of which a stand-in takes the place."""
    stand_in = Path(__file__).parent / "vddk_stand_in"
    monkeypatch.setenv("PATH", f"{stand_in}:{os.environ['PATH']}")
    monkeypatch.setenv("V2V_VDDK_STAND_IN", str(tmp_path / "vddk"))
    (tmp_path / "vddk").mkdir()
    (tmp_path / "vddk/disk").write_bytes(CONTENT)
    return ["vcenter", *vcenter.options, "-it", "vddk", "-io", f"vddk-cookie={COOKIE}", guest]


@pytest.fixture
def over_ssh(tmp_path: Path) -> Iterator[Words]:
    """Give the words of the input over ssh, of a real sshd that takes the password and no key."""
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
def test_nobody_sees_the_password(
    transport: str,
    request: pytest.FixtureRequest,
    v2v_short_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The input step, its servers, a copy from them, and the cleanup, all in processes of their own."""
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
            # longer than the watcher sleeps, with servers that are logged in
            time.sleep(0.3)
        holding, with_cookie = (files_with_secret(v2v_short_path, secret) for secret in (PASSWORD, COOKIE))
        modes = {path.stat().st_mode & 0o777 for path in holding}
    finally:
        subprocess.run([programs / "helper-v2v-cleanup", "--dir", run], check=True, capture_output=True)
    assert shown == set()
    assert target.read_bytes() == CONTENT
    assert PASSWORD not in done.stdout + done.stderr
    # the servers read it there: to log in again, perhaps days later
    assert {path.parent for path in holding} == {run / "input"}
    assert modes == {0o600}
    # an option is in the argument list that the user typed, and nowhere after that
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


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    address = parse_address("https://root@host/")
    for text in ("secret", "secret\n", "secret\r\nanother line\n"):
        path.write_text(text)
        assert find_password(address, path) == "secret"


def test_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment, through the package keyring; its back end here is one of the test's."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    import keyring
    from keyring.backend import KeyringBackend

    class Vault(KeyringBackend):
        priority = 1.0
        broken = False

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

        def get_password(self, service: str, username: str) -> str | None:
            if self.broken:
                raise RuntimeError("locked")
            return "from the vault" if (service, username) == ("vc.example.com", "me@vsphere.local") else None

    before = keyring.get_keyring()
    vault = Vault()
    keyring.set_keyring(vault)
    try:
        assert find_password(parse_address("https://me%40vsphere.local@vc.example.com/"), None) == "from the vault"
        for uri, broken in (
            ("https://other@vc.example.com/", False),
            ("https://me%40vsphere.local@vc.example.com/", True),
        ):
            vault.broken = broken
            # nobody to ask: pytest has no terminal
            with pytest.raises(UsageError, match="is not known"):
                find_password(parse_address(uri), None)
    finally:
        keyring.set_keyring(before)


def test_from_the_terminal(vcenter: Vcenter, guest: str, read_until: Callable[[int, str], str]) -> None:
    """It is asked for, and what is typed is not shown."""
    program = Path(sys.executable).with_name("virt-v2v")
    argv = [program, "-i", "vcenter", "-ic", vcenter.uri, "-io", f"ca-file={vcenter.certificate}", guest]
    environment = {**os.environ, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(program, [*map(str, argv), "--print-source"], environment)  # noqa: S606 - that is what is meant
    assert "Password of administrator@vsphere.local on localhost: " in read_until(terminal, "localhost: ")
    os.write(terminal, f"{PASSWORD}\n".encode())
    seen = read_until(terminal, "")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    os.close(terminal)
    assert "source name: my guest" in seen
    assert PASSWORD not in seen


@pytest.fixture
def read_until() -> Callable[[int, str], str]:
    """Give what reads from a terminal until a text comes, or, for none, until the other side ends."""

    def read(terminal: int, text: str) -> str:
        seen = ""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (text and text in seen):
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:
                # Linux says EIO when the other side is closed
                break
            seen += data.decode()
        return seen

    return read
