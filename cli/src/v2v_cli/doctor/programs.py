# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of libnbd and qemu, and libnbd's Python binding."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec

from v2v_core.finding import Finding, Status, present_or
from v2v_core.packages import Package, install
from v2v_core.programs import PACKAGES

_NEEDED = ("nbdcopy", "nbdinfo", "qemu-img", "qemu-nbd")


def probe_programs() -> Iterator[Finding]:
    """Look for the programs that every conversion runs."""
    for name in _NEEDED:
        yield present_or(name, shutil.which(name), Status.MISSING, "not on PATH", install(PACKAGES[name]))


def probe_libnbd_binding() -> Finding:
    """Look for the Python module ``nbd``."""
    spec = find_spec("nbd")
    return present_or(
        "libnbd for Python",
        None if spec is None else spec.origin,
        Status.OPTIONAL,
        "not importable; -o rhv-upload then copies with nbdcopy, which is slower",
        install(Package("python3-libnbd", "python3-libnbd")),
    )
