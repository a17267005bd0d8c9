# SPDX-License-Identifier: GPL-2.0-or-later
"""The conversion of guests through libguestfs: into the appliance, through the guest, and out again."""
