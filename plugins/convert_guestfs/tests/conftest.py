# SPDX-License-Identifier: GPL-2.0-or-later
"""Hypothesis without a deadline for each example: on a busy machine, any of them may take a second."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
