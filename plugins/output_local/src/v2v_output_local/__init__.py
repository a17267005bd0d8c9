# SPDX-License-Identifier: GPL-2.0-or-later
"""Outputs on this machine: ``-o local`` (also ``-o disk``) and ``-o null``."""
