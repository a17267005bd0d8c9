# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands ``helper-v2v-output-rhv`` and ``helper-v2v-output-vdsm``."""

from __future__ import annotations

from v2v_core.api import output_helper


def rhv() -> int:
    """Run a step of ``-o rhv`` on its own."""
    return output_helper("rhv")


def vdsm() -> int:
    """Run a step of ``-o vdsm`` on its own."""
    return output_helper("vdsm")
