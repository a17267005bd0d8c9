# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of core's tests: whole conversions with the fake plugins."""

from v2v_core.testing.fake_runs import choice, in_trouble, nothing_left, storage

__all__ = ["choice", "in_trouble", "nothing_left", "storage"]
