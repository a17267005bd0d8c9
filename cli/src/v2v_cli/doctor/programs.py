# SPDX-License-Identifier: GPL-2.0-or-later
"""The programs of libnbd and qemu."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from v2v_core.finding import Finding, Status, present_or
from v2v_core.packages import install
from v2v_core.programs import PACKAGES

_NEEDED = ("nbdcopy", "nbdinfo", "qemu-img", "qemu-nbd")


def probe_programs() -> Iterator[Finding]:
    """Look for the programs that every conversion runs."""
    for name in _NEEDED:
        yield present_or(name, shutil.which(name), Status.MISSING, "not on PATH", install(PACKAGES[name]))
