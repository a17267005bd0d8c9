# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that nbdkit runs (nbdkit-python-plugin(3)): it serves the disk of a transfer through NBD.

nbdkit calls its functions by their names. What it writes to stderr goes to the log of the server. If a copy fails, the
error quotes the last line.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbdkit

from v2v_output_rhv.upload.address import Address
from v2v_output_rhv.upload.connections import Connections, Refused

API_VERSION = 2

_SECRETS = frozenset({"url", "proxy_url"})

_parameters: dict[str, str] = {}
_connections: Connections | None = None


def dump_plugin() -> None:
    """Prove that the client can be imported; called by ``nbdkit --dump-plugin``."""
    from ovirt_imageio import client

    sys.stdout.write(f"ovirt_imageio={client.__version__}\n")


def config(key: str, value: str) -> None:
    """Store a parameter: size, cafile, verify, idle, connections; or a secret, url or proxy_url, given as ``+FILE``."""
    if key in _SECRETS:
        if not value.startswith("+"):
            raise RuntimeError(f"{key} must be given as {key}=+FILE")
        value = Path(value[1:]).read_text(encoding="utf-8").strip()
    _parameters[key] = value


def config_complete() -> None:
    """Check that no parameter is missing."""
    for key in ("size", "url", "idle"):
        if key not in _parameters:
            raise RuntimeError(f"the parameter {key} is missing")


def thread_model() -> int:
    """Return the thread model: requests run in parallel."""
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def after_fork() -> None:
    """Connect. nbdkit calls this in the process that serves, after it has become a daemon."""
    global _connections  # noqa: PLW0603 - nbdkit knows functions of the module and nothing else
    address = Address(
        url=_parameters["url"],
        proxy_url=_parameters.get("proxy_url"),
        ca_file=_parameters.get("cafile"),
        verify=_parameters.get("verify") != "false",
        idle=float(_parameters["idle"]),
    )
    # the buffer is for streams, which nbdkit does not use
    _connections = address.connections(int(_parameters.get("connections", "4")), buffer_size=4096)
    try:
        _connections.start()
    except Refused as err:
        # nbdkit itself would exit with a traceback as its last line
        sys.stderr.write(f"nbdkit: error: {err.strerror}\n")
        sys.stderr.flush()
        os._exit(1)


def cleanup() -> None:
    """Close the connections."""
    if _connections is not None:
        _connections.stop()


def open(readonly: bool) -> Connections:  # noqa: A001 - nbdkit's word
    """Return the handle for an NBD client. All clients share the connections."""
    if _connections is None:
        raise RuntimeError("not connected")
    return _connections


def get_size(_handle: Connections) -> int:
    """Return the size of the disk in bytes."""
    return int(_parameters["size"])


def can_multi_conn(_handle: Connections) -> bool:
    """Return that a flush on one NBD connection covers all of them."""
    return True


def can_zero(_handle: Connections) -> bool:
    """Return that ``zero`` is efficient."""
    return True


def pread(handle: Connections, buf: bytearray, offset: int, _flags: int) -> None:
    """Read into a buffer."""
    _reporting(lambda: handle.read(offset, buf))


def pwrite(handle: Connections, buf: Any, offset: int, _flags: int) -> None:
    """Write a buffer. It is nbdkit's own buffer, so nothing is copied."""
    _reporting(lambda: handle.write(offset, buf))


def zero(handle: Connections, count: int, offset: int, _flags: int) -> None:
    """Write zeros."""
    _reporting(lambda: handle.zero(offset, count))


def flush(handle: Connections, _flags: int) -> None:
    """Make the server sync everything to its storage."""
    _reporting(handle.flush)


def _reporting(request: Callable[[], None]) -> None:
    try:
        request()
    except Refused as err:
        # one line for the log, before the traceback that nbdkit writes
        sys.stderr.write(f"nbdkit: error: {err.strerror}\n")
        nbdkit.set_error(err.errno or errno.EIO)
        raise RuntimeError(err.strerror) from None
