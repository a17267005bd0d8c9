# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o vdsm``: volumes and OVF where VDSM wants them, which made the directories and chose all names."""
