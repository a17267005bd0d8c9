# SPDX-License-Identifier: GPL-2.0-or-later
"""``-o local`` (also ``-o disk``): disk images in a directory, and libvirt domain XML beside them."""
