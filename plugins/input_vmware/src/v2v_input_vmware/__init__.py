# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of VMware's products: OVA packages, VMX files."""
