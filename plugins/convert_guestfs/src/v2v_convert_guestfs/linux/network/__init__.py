# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of NICs: which names the guest configures, which MAC address each belongs to, and how it keeps its name."""
