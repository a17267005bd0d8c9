# SPDX-License-Identifier: GPL-2.0-or-later
"""The commands ``helper-v2v-input-ova``, ``helper-v2v-input-vmx`` and ``helper-v2v-input-vcenter``."""

from __future__ import annotations

from v2v_core.api import input_helper


def ova() -> int:
    """Run the input step of ``-i ova`` alone."""
    return input_helper("ova")


def vmx() -> int:
    """Run the input step of ``-i vmx`` alone."""
    return input_helper("vmx")


def vcenter() -> int:
    """Run the input step of ``-i vcenter`` alone."""
    return input_helper("vcenter")
