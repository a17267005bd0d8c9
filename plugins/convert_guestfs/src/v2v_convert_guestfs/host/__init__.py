# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine that the conversion runs on: KVM, and what the appliance of libguestfs is made of."""
