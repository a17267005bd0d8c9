# SPDX-License-Identifier: GPL-2.0-or-later
"""What the appliance can do with the guest's file systems, and how that is told apart from damage."""
