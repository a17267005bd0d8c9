# SPDX-License-Identifier: GPL-2.0-or-later
"""The command ``helper-v2v-output-rhv-upload``."""

from __future__ import annotations

from v2v_core.api import output_helper


def main() -> int:
    """Run a step of ``-o rhv-upload`` on its own."""
    return output_helper("rhv-upload")
