# SPDX-License-Identifier: GPL-2.0-or-later
"""The initramfs: check whether it can reach the disks of the target, and change it if it cannot."""
