# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion of Linux guests; ``flow`` is the way through it."""
