# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i ova``: an OVA package or its directory; it comes from somebody else and is trusted with nothing."""
