# SPDX-License-Identifier: GPL-2.0-or-later
"""The real ovirt-imageio daemon, as it runs on a host of oVirt, on loopback; tickets come over its control socket."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from v2v_core.testing import Certificates

#: Seconds until the daemon must listen.
_START_LIMIT = 30.0
_LISTENING = re.compile(r"remote\.service listening on \('127\.0\.0\.1', (\d+)\)")
_CONFIGURATION = """\
[daemon]
poll_interval = 0.1
run_dir = {directory}
drop_privileges = false
systemd_enable = false
[tls]
key_file = {key}
cert_file = {certificate}
ca_file = {authority}
[remote]
host = 127.0.0.1
port = {port}
[local]
enable = {local}
socket = {directory}/local.sock
[control]
transport = unix
socket = {directory}/control.sock
remove_timeout = 10
[handler_logfile]
args = ("{directory}/daemon.log",)
"""


@dataclass
class ImageioDaemon:
    """A daemon in a directory of its own, whose path must be short: there are sockets in it.

    :param local: whether it offers its Unix socket to clients on this machine, as it does by default.
    """

    directory: Path
    certificates: Certificates
    local: bool = True
    port: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> str:
        """Return the daemon's log so far."""
        path = self.directory / "daemon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def control(self) -> Path:
        """Return the path of the control socket."""
        return self.directory / "control.sock"

    def url(self, ticket_id: str) -> str:
        """Return the URL that a client uses with a ticket."""
        return f"https://localhost:{self.port}/images/{ticket_id}"

    def start(self) -> None:
        """Start it, if it does not run; a second time on the same port, with no tickets."""
        if self._process is not None:
            return
        (self.directory / "conf.d").mkdir(exist_ok=True)
        words = {
            "directory": self.directory,
            "key": self.certificates.key,
            "certificate": self.certificates.certificate,
            "authority": self.certificates.authority,
            "port": self.port,
            "local": str(self.local).lower(),
        }
        (self.directory / "conf.d" / "50-test.conf").write_text(_CONFIGURATION.format(**words))
        self.control.unlink(missing_ok=True)
        (self.directory / "daemon.log").unlink(missing_ok=True)
        program = Path(sys.executable).with_name("ovirt-imageio")
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [program, "--conf-dir", self.directory], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        deadline = time.monotonic() + _START_LIMIT
        while (found := _LISTENING.search(self.log)) is None or "Ready for requests" not in self.log:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"ovirt-imageio does not start: {self.log}{(self.directory / 'output').read_text()}")
            time.sleep(0.02)
        self.port = int(found.group(1))

    def stop(self) -> None:
        """Kill it, without a chance to close its connections."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def add_ticket(
        self,
        backing: str,
        size: int,
        *,
        ticket_id: str | None = None,
        timeout: int = 300,
        inactivity_timeout: int = 3600,
        sparse: bool = True,
    ) -> str:
        """Install a ticket as vdsm does for an upload, and return its id.

        :param backing: ``file:///path``, ``nbd:unix:/path``, or, for a daemon that is a proxy, ``https://…``.
        """
        ticket_id = ticket_id or str(uuid.uuid4())
        ticket = {
            "uuid": ticket_id,
            "size": size,
            "url": backing,
            "timeout": timeout,
            "inactivity_timeout": inactivity_timeout,
            "ops": ["write"],
            "sparse": sparse,
        }
        with self._client() as client:
            client.add_ticket(ticket)
        return ticket_id

    def extend_ticket(self, ticket_id: str, timeout: int) -> None:
        """Let a ticket expire ``timeout`` seconds from now."""
        with self._client() as client:
            client.mod_ticket(ticket_id, {"timeout": timeout})

    def ticket(self, ticket_id: str) -> dict[str, Any]:
        """Return the daemon's information about a ticket."""
        with self._client() as client:
            return dict(client.get_ticket(ticket_id))

    def remove_ticket(self, ticket_id: str) -> None:
        """Remove a ticket; no error if there is none."""
        with self._client() as client:
            client.del_ticket(ticket_id)

    def _client(self) -> Any:
        from ovirt_imageio import admin

        return admin.Client(admin.load_config(str(self.directory)))


@contextlib.contextmanager
def running_imageio(directory: Path, certificates: Certificates, *, local: bool = True) -> Iterator[ImageioDaemon]:
    """Run a daemon in a directory, which must not exist yet."""
    directory.mkdir(mode=0o700)
    daemon = ImageioDaemon(directory, certificates, local)
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


@contextlib.contextmanager
def exported(image: Path, image_format: str, socket: Path) -> Iterator[str]:
    """Serve an image with qemu-nbd, as vdsm does for a transfer; yield the address that a ticket names."""
    argv = ["qemu-nbd", "--persistent", "--shared=8", f"--socket={socket}", f"--format={image_format}"]
    argv += ["--discard=unmap", "--detect-zeroes=unmap", "--cache=writeback", str(image)]
    with _serving(argv, socket):
        yield f"nbd:unix:{socket}"


@contextlib.contextmanager
def exported_full(image: Path, socket: Path) -> Iterator[str]:
    """Serve a raw image on full storage: every write fails with ENOSPC; yield the address that a ticket names."""
    argv = ["nbdkit", "--foreground", "--unix", str(socket), "--filter=error", "file", str(image)]
    argv += ["error-pwrite=ENOSPC", "error-pwrite-rate=100%"]
    with _serving(argv, socket):
        yield f"nbd:unix:{socket}"


@contextlib.contextmanager
def _serving(argv: list[str], socket: Path) -> Iterator[None]:
    # under a keeper: nbdkit ends with the thread that started it
    keeper = ["/bin/sh", "-c", '"$@" & wait "$!"', "sh"]
    with subprocess.Popen(
        [*keeper, *argv], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as server:
        try:
            deadline = time.monotonic() + _START_LIMIT
            while not socket.exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{argv[0]} does not serve on {socket}")
                time.sleep(0.01)
            yield
        finally:
            # not with more kindness: nbdkit waits until its clients go
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
