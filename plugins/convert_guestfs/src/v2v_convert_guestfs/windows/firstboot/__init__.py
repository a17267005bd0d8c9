# SPDX-License-Identifier: GPL-2.0-or-later
"""What the guest does once, at its first boots on KVM."""
