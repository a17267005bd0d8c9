# SPDX-License-Identifier: GPL-2.0-or-later
"""The copy plugins that come with core."""
