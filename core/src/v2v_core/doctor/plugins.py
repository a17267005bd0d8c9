# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugins without which there is nothing to convert from, with, or to."""

from __future__ import annotations

from collections.abc import Iterator

from v2v_core.discovery import Role, installed
from v2v_core.doctor.finding import Finding, Status, present_or

_EXAMPLES = {Role.INPUT: "v2v-input-disk", Role.CONVERT: "v2v-convert-guestfs", Role.OUTPUT: "v2v-output-local"}


def probe_plugins() -> Iterator[Finding]:
    """Look for plugins of each role; none is imported."""
    for role, example in _EXAMPLES.items():
        names = ", ".join(sorted({plugin.name for plugin in installed(role)}))
        yield present_or(f"{role} plugins", names or None, Status.MISSING, "none installed", f"pip install {example}")
