# SPDX-License-Identifier: GPL-2.0-or-later
"""What this machine can and cannot do, and the command that mends it."""
