# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands ``helper-v2v-output-local`` and ``helper-v2v-output-null``."""

from __future__ import annotations

from v2v_core.api import output_helper


def local() -> int:
    """Run a step of ``-o local`` on its own."""
    return output_helper("local")


def null() -> int:
    """Run a step of ``-o null`` on its own."""
    return output_helper("null")
