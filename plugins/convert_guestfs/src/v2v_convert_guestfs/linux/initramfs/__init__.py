# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs: check whether it can boot from virtio disks, and change it if it cannot."""
