# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vmx``: a VMX file and the disks that it names, local or over ssh."""
