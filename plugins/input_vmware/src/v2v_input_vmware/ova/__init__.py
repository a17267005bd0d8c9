# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i ova``: an OVA package or its directory. The package is untrusted."""
