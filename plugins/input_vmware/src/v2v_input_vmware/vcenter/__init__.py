# SPDX-License-Identifier: GPL-2.0-or-later
"""``-i vcenter``: guests of a vCenter or an ESXi host. The metadata comes over SOAP, the disks over https or VDDK."""
