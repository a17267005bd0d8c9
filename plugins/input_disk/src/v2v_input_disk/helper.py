# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``helper-v2v-input-disk``."""

from __future__ import annotations

from v2v_core.api import input_helper


def main() -> int:
    """Run the input step of ``-i disk`` alone."""
    return input_helper("disk")
