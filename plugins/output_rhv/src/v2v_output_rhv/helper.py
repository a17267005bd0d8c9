# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands ``helper-v2v-output-rhv``, ``helper-v2v-output-rhv-upload`` and ``helper-v2v-output-vdsm``."""

from __future__ import annotations

from v2v_core.api import output_helper


def rhv() -> int:
    """Run a step of ``-o rhv`` on its own."""
    return output_helper("rhv")


def rhv_upload() -> int:
    """Run a step of ``-o rhv-upload`` on its own."""
    return output_helper("rhv-upload")


def vdsm() -> int:
    """Run a step of ``-o vdsm`` on its own."""
    return output_helper("vdsm")
