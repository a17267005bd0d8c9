# SPDX-License-Identifier: GPL-2.0-or-later
"""The first boot of a Windows guest, for real: Wine runs the service and its scripts."""
