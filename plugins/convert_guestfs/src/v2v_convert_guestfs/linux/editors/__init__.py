# SPDX-License-Identifier: GPL-2.0-or-later
"""Editors of configuration files: pure functions from bytes to bytes.

An editor leaves everything that it does not understand as it is, byte for byte. Files are decoded as Latin-1, since
that accepts every byte and encodes it again to the same one; all keywords are ASCII.
"""
