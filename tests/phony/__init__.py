# SPDX-License-Identifier: GPL-2.0-or-later
"""Phony guests: what cannot be booted here has its files, its databases, and commands that write down their calls."""
