# SPDX-License-Identifier: GPL-2.0-or-later
"""A stand-in for nbdkit-vddk-plugin(1): takes its parameters, records them, and serves a local file.

It cannot show that VMware's library works, only which parameters it would get. ``V2V_VDDK_STAND_IN`` names a directory.
The file ``disk`` in it is served. Each start adds a line of JSON to ``parameters``; ``handles`` has the greatest number
of handles that were open at once. A file ``trouble`` in it has what the dynamic linker says about the library.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

API_VERSION = 2
KNOWN = frozenset(
    ("compression", "config", "cookie", "create", "export", "file", "libdir", "nfchostport", "password", "port")
) | frozenset(
    ("server", "single-link", "snapshot", "thumbprint", "transports", "unbuffered", "user", "vimapiver", "vm")
)

directory = Path(os.environ["V2V_VDDK_STAND_IN"])
given: dict[str, str] = {}
handles = 0

if (directory / "trouble").exists():
    raise RuntimeError((directory / "trouble").read_text())


def config(key: str, value: str) -> None:
    """Take a parameter; a secret comes as ``+FILE``."""
    if key not in KNOWN:
        raise RuntimeError(f"unknown parameter {key}")
    given[key] = value


def config_complete() -> None:
    """Record the parameters."""
    if "libdir" in given and not Path(given["libdir"]).is_dir():
        raise RuntimeError("libvixDiskLib.so.7: cannot open shared object file: No such file or directory")
    shown = dict(given)
    for secret in ("password", "cookie"):
        if given.get(secret, "").startswith("+"):
            path = Path(given[secret][1:])
            shown[secret] = f"+{path.read_text()} ({path.stat().st_mode & 0o777:o})"
    with (directory / "parameters").open("a") as stream:
        stream.write(json.dumps(shown) + "\n")


def open(readonly: bool) -> int:  # noqa: A001 - nbdkit's name
    """Open the file."""
    global handles  # noqa: PLW0603 - nbdkit has no object for it
    handles += 1
    most = max(handles, int(file.read_text()) if (file := directory / "handles").exists() else 0)
    file.write_text(str(most))
    return os.open(directory / "disk", os.O_RDONLY)


def get_size(handle: int) -> int:
    """Return the size of the file, in bytes."""
    return os.fstat(handle).st_size


def pread(handle: int, buffer: bytearray, offset: int, flags: int) -> None:
    """Read."""
    buffer[:] = os.pread(handle, len(buffer), offset)


def close(handle: int) -> None:
    """Close."""
    global handles  # noqa: PLW0603 - nbdkit has no object for it
    handles -= 1
    os.close(handle)
