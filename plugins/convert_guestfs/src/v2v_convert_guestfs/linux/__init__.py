# SPDX-License-Identifier: GPL-2.0-or-later
"""Convert Linux guests. The steps and their order are in ``flow``."""
