# SPDX-License-Identifier: GPL-2.0-or-later
"""What is missing on this machine, and which command installs it."""
