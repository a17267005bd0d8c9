# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i disk``: guests whose disks are local images, block devices, or served by an NBD server."""
