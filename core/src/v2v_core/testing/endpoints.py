# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading and writing whole disks through NBD, as a copy would."""

from __future__ import annotations

import tempfile
from pathlib import Path

from v2v_core.programs import run_program


def read_endpoint(uri: str) -> bytes:
    """Return the content of a small disk that is served.

    :raises CommandError: it cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "disk"
        run_program(["nbdcopy", uri, str(image)], timeout=60)
        return image.read_bytes()


def write_endpoint(uri: str, content: bytes) -> None:
    """Write the beginning of a disk that is served, and flush it.

    :raises CommandError: it cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        image = Path(scratch) / "disk"
        image.write_bytes(content)
        run_program(["nbdcopy", "--flush", str(image), uri], timeout=60)
