# SPDX-License-Identifier: GPL-2.0-or-later
"""An OpenSSH server on loopback, with keys of its own."""

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
    """A running sshd.

    :param port: on loopback. :param user: who may log in. :param identity: the user's private key.
    :param known_hosts: a file that has the server's key, in the format of sshd(8).
    """

    port: int
    user: str
    identity: Path
    known_hosts: Path

    def uri(self, path: str) -> str:
        """Return the ssh URI of a file on the server."""
        return f"ssh://{self.user}@localhost:{self.port}{path}"

    @property
    def options(self) -> tuple[str, ...]:
        """Return the words of a command line (``-io …``) that log in with the key."""
        return ("-io", f"ssh-identity={self.identity}", "-io", f"ssh-known-hosts={self.known_hosts}")


#: Mounts a shadow file over the machine's, seen by this sshd and its children alone (unshare(1)).
_WITH_SHADOW = ("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/shadow && exec "$@"')


@contextlib.contextmanager
def running_sshd(directory: Path, *, password: str | None = None) -> Iterator[Sshd]:
    """Run an sshd that lets the user of this process log in with a key.

    :param directory: must not exist yet; keys, configuration and known hosts are written into it.
    :param password: lets root log in with this password, and with no key. Only root can run such a server.
    :raises RuntimeError: it does not answer within 20 seconds.
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
    # sshd refuses to serve without its directory for privilege separation
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
