# SPDX-License-Identifier: GPL-2.0-or-later
"""Virtio-win, the virtio drivers for Windows: where they are on this host, and which of them a guest can use."""
