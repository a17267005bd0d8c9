# SPDX-License-Identifier: GPL-2.0-or-later
"""Verification: the destination is read back and compared with the hashes that were taken while it was written."""
