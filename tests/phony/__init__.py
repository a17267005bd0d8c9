# SPDX-License-Identifier: GPL-2.0-or-later
"""Phony guests, for what cannot be booted here: real files, real databases, and commands that record their calls."""
