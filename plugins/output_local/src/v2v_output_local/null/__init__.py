# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o null``: convert and copy, and keep nothing."""
