# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs: read it to see whether it can boot from virtio, and change it if it cannot."""
