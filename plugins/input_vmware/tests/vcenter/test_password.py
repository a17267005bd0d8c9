# SPDX-License-Identifier: GPL-2.0-or-later
"""Find the password in a file, in the keyring, and on the terminal."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from v2v_core.api import UsageError
from v2v_input_vmware.vcenter.address import parse_address
from v2v_input_vmware.vcenter.password import find_password
from vcenter_simulator import PASSWORD, Vcenter


@pytest.fixture(scope="module")
def guest(vcenter: Vcenter, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Create a machine and return its name."""
    image = tmp_path_factory.mktemp("images") / "image"
    image.write_bytes(b"\0" * 1024 * 1024)
    vcenter.add_vm("my guest", [image])
    return "my guest"


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    address = parse_address("https://root@host/")
    for text in ("secret", "secret\n", "secret\r\nanother line\n"):
        path.write_text(text)
        assert find_password(address, path) == "secret"


def test_from_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the package keyring with a back end of this test."""
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
            # pytest has no terminal to ask on
            with pytest.raises(UsageError, match="is not known"):
                find_password(parse_address(uri), None)
    finally:
        keyring.set_keyring(before)


def test_from_the_terminal(vcenter: Vcenter, guest: str, read_until: Callable[[int, str], str]) -> None:
    """The program asks for the password and does not echo it."""
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
    """Return a function that reads from a terminal until a text appears or, for an empty text, until it is closed."""

    def read(terminal: int, text: str) -> str:
        seen = ""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (text and text in seen):
            if not select.select([terminal], [], [], 1)[0]:
                continue
            try:
                data = os.read(terminal, 4096)
            except OSError:
                # Linux returns EIO when the other side is closed
                break
            seen += data.decode()
        return seen

    return read
