# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o vdsm``: volumes and OVF, in directories that VDSM has created and under names that VDSM has chosen."""
