# SPDX-License-Identifier: GPL-2.0-or-later
"""NBD URIs (the NBD URI specification, doc/uri.md of https://github.com/NetworkBlockDevice/nbd)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from v2v_core.programs import run_program

#: Seconds within which a server must answer. One that does not must not hold up a step for ever.
_PATIENCE = 60.0


def nbd_uri(path: Path, export: str = "") -> str:
    """Return the URI of a server on a Unix socket (``nbd+unix``)."""
    return f"nbd+unix:///{quote(export)}?socket={quote(os.fsencode(path))}"


def size_of(uri: str, *, timeout: float = _PATIENCE) -> int:
    """Ask a server for the size of its disk, and return it in bytes.

    :param timeout: seconds.
    :raises CommandError: it does not answer, or not in time.
    """
    return int(run_program(["nbdinfo", "--size", uri], timeout=timeout))


def is_listening(uri: str) -> bool:
    """Return whether a server on a Unix socket accepts connections.

    True for a server on a network, whose size was asked for before.
    """
    parts = urlsplit(uri)
    if not parts.scheme.endswith("+unix"):
        return True
    (name,) = parse_qs(parts.query, errors="surrogateescape").get("socket", [""])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_PATIENCE)
        try:
            client.connect(os.fsencode(name))
        except OSError:
            return False
    return True
