# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of NICs: find the names that the guest configures and their MAC addresses, and keep the names on KVM."""
