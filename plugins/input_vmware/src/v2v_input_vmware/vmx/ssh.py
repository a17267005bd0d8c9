# SPDX-License-Identifier: GPL-2.0-or-later
"""Read files on an ESXi host over ssh, with nbdkit-ssh-plugin(1).

An ESXi host locks the descriptor of a disk, ``disk.vmdk``, but not its data. The data is in ``disk-flat.vmdk``, which
is the raw disk. A snapshot has no such file.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from v2v_core.api import CommandError, NbdkitPlugin, SourceError, UsageError, read_password_file, run_program

#: Seconds for the connection, the login and a small file.
_TIMEOUT = 120


@dataclass(frozen=True, kw_only=True)
class Server:
    """The server, how to log in, and the VMX file.

    :param path: of the VMX file on the server.
    """

    host: str
    path: str
    port: int | None = None
    user: str | None = None
    identity: str | None = None
    known_hosts: str | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, uri: str, *, password_file: Path | None, identity: str | None = None, known_hosts: str | None = None
    ) -> Server:
        """Parse ``ssh://[USER@]HOST[:PORT]/PATH``, with a percent-encoded path.

        :raises UsageError: it is not such a URI, or has a password.
        :raises SourceError: the password file cannot be read.
        """
        example = "for example: ssh://root@esxi.example.com/vmfs/volumes/datastore1/guest/guest.vmx"
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError as err:
            raise UsageError(f"{uri} is not a URI: {err}", hint=example) from err
        if parts.scheme not in {"", "ssh"} or not parts.hostname or parts.path in {"", "/"}:
            raise UsageError(f"-i vmx -it ssh is expecting a URI with a host and a file, not {uri}", hint=example)
        if parts.password is not None:
            raise UsageError("the URI must not contain a password", hint="write it into a file and add: -ip FILE")
        path = unquote(parts.path)
        if any(ord(char) < 32 for char in path):
            raise UsageError("the path in the URI contains control characters", hint=example)
        return cls(
            host=parts.hostname,
            path=path,
            port=port,
            user=unquote(parts.username) if parts.username else None,
            identity=identity,
            known_hosts=known_hosts,
            password=None
            if password_file is None
            else read_password_file(password_file, option="-ip", error=SourceError),
        )

    def parameters(self, path: str) -> tuple[tuple[str, str], ...]:
        """Return nbdkit's parameters for a file, without the password."""
        optional = {
            "port": str(self.port) if self.port is not None else None,
            "user": self.user,
            "identity": os.path.abspath(self.identity) if self.identity else None,  # noqa: PTH100 - may not exist
            "known-hosts": os.path.abspath(self.known_hosts) if self.known_hosts else None,  # noqa: PTH100
        }
        given = tuple((key, value) for key, value in optional.items() if value)
        return (("host", self.host), ("path", path), *given)


def service(server: Server, path: str) -> NbdkitPlugin:
    """Describe how a file on the server is served."""
    secrets = (("password", server.password),) if server.password is not None else ()
    return NbdkitPlugin(name="ssh", parameters=server.parameters(path), secrets=secrets, remote=True)


def flat_path(vmx_path: str, disk_file: str) -> str:
    """Return the path of a disk's data on the server."""
    path = posixpath.join(posixpath.dirname(vmx_path), disk_file)
    return f"{path.removesuffix('.vmdk')}-flat.vmdk"


def fetch(server: Server, path: str, directory: Path, *, limit: int) -> bytes:
    """Return the content of a VMX file on the server.

    :param limit: the most bytes that it may have.
    :raises SourceError: it cannot be read, or is larger.
    """
    size = _run(["nbdinfo", "--size"], server, path, directory)
    if not size.strip().isdigit() or int(size) > limit:
        raise SourceError(
            f"{path} on {server.host} is not a VMX file: it is too large", hint="name the .vmx file of the guest"
        )
    target = directory / "fetched"
    _run(["nbdcopy"], server, path, directory, after=[str(target)])
    try:
        return target.read_bytes()[: int(size)]
    finally:
        target.unlink(missing_ok=True)


def check_exists(server: Server, path: str, device: str, directory: Path) -> None:
    """Check that the data of a disk exists and can be read.

    :raises SourceError: it does not exist, or cannot be read.
    """
    try:
        _run(["nbdinfo", "--size"], server, path, directory)
    except SourceError as err:
        missing = "no such file" in err.message.lower()
        raise SourceError(
            f"the disk {device}: {err.message}",
            hint="if the guest has snapshots, delete or consolidate them: they cannot be read over ssh"
            if missing
            else err.hint,
        ) from err


def _run(argv: list[str], server: Server, path: str, directory: Path, after: list[str] | None = None) -> str:
    """Run a program of libnbd on a file of the server, without retries: a missing file stays missing."""
    nbdkit = ["nbdkit", "--exit-with-parent", "--readonly", "ssh"]
    nbdkit += [f"{key}={value}" for key, value in server.parameters(path)]
    secret = directory / "password"
    try:
        if server.password is not None:
            with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(server.password)
            nbdkit.append(f"password=+{secret}")
        return run_program([*argv, "--", "[", *nbdkit, "]", *(after or [])], timeout=_TIMEOUT)
    except CommandError as err:
        raise _translated(server, path, err) from err
    finally:
        secret.unlink(missing_ok=True)


def _translated(server: Server, path: str, err: CommandError) -> SourceError:
    lines = [line.strip() for line in err.stderr_tail.splitlines() if line.strip()]
    # the first error of nbdkit (nbdkit: ssh[1]: error: ...) is the cause of all that follow
    own = [line.partition(" error: ")[2] for line in lines if line.startswith("nbdkit: ") and " error: " in line]
    reason = next(iter(own), lines[-1] if lines else err.message)
    hints = {
        "host key": f"connect once with ssh to {server.host} and accept its key, or name a file that has it with "
        "-io ssh-known-hosts=FILE",
        "no such file": "check the path: on an ESXi host, it starts with /vmfs/volumes/",
        "permission denied": "check that the user may read the file",
        "authenticat": "check user and password (-ip FILE) or the key (-io ssh-identity=FILE), and that the host "
        "accepts this kind of login",
        "connect": "check the name of the host, that this machine can reach it, and that its ssh service runs",
        "resolve": "check the name of the host",
        "plugin": "install the package with nbdkit's ssh plugin: nbdkit (Debian), nbdkit-ssh-plugin (Fedora)",
    }
    lowered = reason.lower()
    hint = next((text for word, text in hints.items() if word in lowered), None)
    return SourceError(f"{path} on {server.host} cannot be read over ssh: {reason}", hint=hint)
