# SPDX-License-Identifier: GPL-2.0-or-later
"""A real ssh server of the tests' own, on loopback."""

from __future__ import annotations

import contextlib
import getpass
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Sshd:
    """A running sshd: who may log in, with which key, and the file with the key of the host."""

    port: int
    user: str
    identity: Path
    known_hosts: Path

    def uri(self, path: str) -> str:
        """Give the URI of a file."""
        return f"ssh://{self.user}@localhost:{self.port}{path}"

    @property
    def options(self) -> tuple[str, ...]:
        """Give the -io options to log in with."""
        return ("-io", f"ssh-identity={self.identity}", "-io", f"ssh-known-hosts={self.known_hosts}")


#: Puts a shadow file of our own over the machine's, for this sshd and its children alone (unshare(1)).
_WITH_SHADOW = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/shadow && exec "$@"')


@contextlib.contextmanager
def running_sshd(directory: Path, *, password: str | None = None) -> Iterator[Sshd]:
    """Run an sshd that lets this user in by key; its files are in a directory of its own.

    :param password: it lets root in, by this password and by no key. Only root can run it.
    """
    directory.mkdir(mode=0o700)
    for name in ("host", "user"):
        keygen = ["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", str(directory / name)]
        subprocess.run(keygen, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (directory / "authorized_keys").write_text((directory / "user.pub").read_text())
    key = " ".join((directory / "host.pub").read_text().split()[:2])
    (directory / "known_hosts").write_text(f"[localhost]:{port} {key}\n")
    config = directory / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nPidFile none\nStrictModes no\nUsePAM no\n"
        f"AuthorizedKeysFile {directory}/authorized_keys\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
    )
    # its child processes look for this directory
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
    if password is not None:
        with config.open("a") as stream:
            stream.write("PasswordAuthentication yes\nPubkeyAuthentication no\nKbdInteractiveAuthentication no\n")
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, capture_output=True, text=True, check=True
        )
        shadow = directory / "shadow"
        shadow.write_text(f"root:{hashed.stdout.strip()}:19000::::::\n")
        argv = [*_WITH_SHADOW, str(shadow), *argv]
    server = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    try:
        _wait(port, server)
        yield Sshd(port, getpass.getuser(), directory / "user", directory / "known_hosts")
    finally:
        server.terminate()
        server.wait(10)


def _wait(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while server.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"sshd does not answer (exit code {server.poll()})")
